"""From the path of a spec to a table of noise levels."""
