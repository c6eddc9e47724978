"""The stages of one pass, each a plain function of values; `reconcile` alone knows their order."""
