"""The kind that lets a coding agent do a task, over the Agent Client Protocol."""
