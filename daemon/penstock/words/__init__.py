"""What is said: events, states, requests and replies, errors, limits; values in, values out."""
