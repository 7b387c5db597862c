"""What is said: events, states, requests, replies, errors and their codes, limits, paces; values in, values out."""
