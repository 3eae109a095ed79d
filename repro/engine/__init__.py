"""How it runs: data, networks, training, sampling, evaluation; all that knows torch."""
