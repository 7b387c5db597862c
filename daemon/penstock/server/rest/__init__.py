"""REST, with live streams as NDJSON and SSE."""
