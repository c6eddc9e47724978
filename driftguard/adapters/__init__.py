"""One file for each outside thing; each third-party library is imported by exactly one of them."""
