"""What stands in the tables of a log, whichever engine keeps them: a handler for each write."""
