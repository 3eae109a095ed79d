"""From noise to images: one file for each sampler."""
