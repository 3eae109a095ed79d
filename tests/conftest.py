"""One thread for all tests and the processes they start, and properties that repeat themselves."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # equal bits need equal threads; read when torch loads OpenMP

from hypothesis import settings

settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("repeat")  # tools/check searches: pytest --hypothesis-profile=search
