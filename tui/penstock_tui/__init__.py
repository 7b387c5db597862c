"""The dashboard: a client with a picture of the whole daemon, on the terminal."""
