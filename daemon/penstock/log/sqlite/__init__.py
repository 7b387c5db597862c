"""The store on SQLite: one transaction a commit, a handler for each write."""
