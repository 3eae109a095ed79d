"""Python without the power of root to write where the modes of files forbid it.

    python -m tests.ledger.crashes.powerless ARGUMENT...

Modes mean nothing to root. So a test that runs as root gives up what makes it so, for good, and
becomes `python ARGUMENT...`; for anybody else that is all there is to it.
"""

import ctypes
import os
import sys

_PR_CAPBSET_DROP = 24  # prctl(2)
_POWERS = {"CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3}  # capabilities(7)


def main() -> None:
    """Give up the powers, then become the command."""
    if os.geteuid() == 0:
        system = ctypes.CDLL(None, use_errno=True)
        for name, number in _POWERS.items():
            if system.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0):
                sys.exit(f"cannot give up {name}: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


if __name__ == "__main__":
    main()
