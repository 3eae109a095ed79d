"""`python -m repro` is the command line."""

from repro.cli import main

if __name__ == "__main__":  # a process that `verify` starts imports this file too
    main()
