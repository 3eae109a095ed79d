"""One thread for all tests and the processes they start: equal bits need equal threads."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch loads OpenMP
