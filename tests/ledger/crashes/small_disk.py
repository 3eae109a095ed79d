"""A disk of its own that is really full, where the system lets a user mount one.

`filled` starts this module again in a mount namespace, which ends with it, and hears its findings.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.ledger.crashes.nursery import REPOSITORY

_MOUNTED = 'mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"'
_SIZE_BYTES = 24 << 20
_CHUNK = bytes(1 << 16)


def available(folder: Path) -> bool:
    """Whether a disk can be mounted here."""
    if shutil.which("unshare") is None:
        return False
    mounted = subprocess.run(_inside(folder, "true"), check=False, capture_output=True)
    return mounted.returncode == 0


def filled(folder: Path, victim: str, *, free_bytes: list[int]) -> list[str]:
    """What is wrong after a victim met a full disk, once for each number of bytes left free."""
    job = json.dumps({"folder": str(folder), "victim": victim, "free_bytes": free_bytes})
    command = _inside(folder, sys.executable, "-m", __name__, job)
    ran = subprocess.run(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True, check=True)
    wrong: list[str] = json.loads(ran.stdout)
    return wrong


def _inside(folder: Path, *command: str) -> list[str]:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    return [*unshare, "sh", "-c", _MOUNTED, "sh", str(folder), str(_SIZE_BYTES), *command]


def main() -> None:
    """Do the job that came as the argument, and say what was wrong."""
    from tests.ledger.crashes import suites

    job = json.loads(sys.argv[1])
    folder, wrong = Path(job["folder"]), list[str]()
    for free_bytes in job["free_bytes"]:
        wrong += suites.met_full_disk(folder, job["victim"], free_bytes=free_bytes)
    sys.stdout.write(json.dumps(wrong))


def fill(ballast: Path, *, free_bytes: int) -> None:
    """Leave no more than so many bytes free on the disk that this file is on."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_CHUNK)
        except OSError:
            os.ftruncate(file.fileno(), max(0, ballast.stat().st_size - free_bytes))


if __name__ == "__main__":
    main()
