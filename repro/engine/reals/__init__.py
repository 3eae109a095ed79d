"""Where the real examples of a drifting step come from."""
