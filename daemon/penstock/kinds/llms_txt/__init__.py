"""The kind that describes a source tree."""
