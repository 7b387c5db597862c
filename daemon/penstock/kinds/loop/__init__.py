"""The kind that observes, decides and acts, a run for each turn."""
