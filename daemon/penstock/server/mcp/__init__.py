"""MCP: tools, resources, subscriptions, tasks."""
