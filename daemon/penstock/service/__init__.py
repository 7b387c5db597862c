"""The daemon's process: builds every object once, stops in order, is watched."""
