"""The store on PostgreSQL: one schema, one row that gives a writer its turn; extra `postgresql`."""
