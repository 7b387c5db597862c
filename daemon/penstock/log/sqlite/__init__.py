"""The store on SQLite: one file, opened, migrated and watched; every commit on the disk."""
