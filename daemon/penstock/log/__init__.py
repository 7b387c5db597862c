"""What happened: the recorder writes it, the bus streams it, projections fold it."""
