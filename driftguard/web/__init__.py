"""The web view: pages over the ledger, read-only; served, or written as a static site."""
