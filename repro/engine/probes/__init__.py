"""Questions to a trained network: one file for each kind of `[[probe]]`."""
