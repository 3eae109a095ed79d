"""A family of models that somebody else brings: straight flows (Liu et al. 2022) on toy images."""
