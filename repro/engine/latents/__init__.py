"""Images as latents: the autoencoder, the shards on disk, and how training reads them."""
