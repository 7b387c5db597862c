"""Drills: the guarantees of the daemon, put to the test from the command line and in CI."""
