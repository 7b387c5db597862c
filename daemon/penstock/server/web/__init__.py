"""The page of the daemon's own: its files, the code that lets a browser in, and what it may ask."""
