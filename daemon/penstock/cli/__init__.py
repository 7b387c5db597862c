"""`penstock`, a verb a file."""
