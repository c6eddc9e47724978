"""The stages of one run, each a plain function of values; `reconcile` alone knows their order."""
