"""What happened: the recorder writes it, the bus streams it to fast and slow, projections fold it."""
