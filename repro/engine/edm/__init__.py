"""Denoising at real noise levels, one for every scale: codec, preconditioning, exact answers."""
