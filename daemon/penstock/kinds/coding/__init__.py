"""The kind that has a small model write code, and runs its tests."""
