"""A disk of its own that is really full, where the system lets a user mount one.

`filled` starts this module again in a mount namespace, which ends with it, and hears its findings.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from attrs import asdict

from tests.ledger.crashes.nursery import REPOSITORY
from tests.ledger.crashes.suites import Tally, met_full_disks

_MOUNTED = 'mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"'
_SIZE_BYTES = 24 << 20


def available(folder: Path) -> bool:
    """Whether a disk can be mounted here."""
    if shutil.which("unshare") is None:
        return False
    mounted = subprocess.run(_inside(folder, "true"), check=False, capture_output=True)
    return mounted.returncode == 0


def filled(folder: Path, victim: str, *, free_bytes: Iterable[int]) -> Tally:
    """`suites.met_full_disks` on a disk that is mounted at `folder` meanwhile."""
    job = json.dumps({"folder": str(folder), "victim": victim, "free_bytes": list(free_bytes)})
    command = _inside(folder, sys.executable, "-m", __name__, job)
    ran = subprocess.run(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True, check=True)
    return Tally(**json.loads(ran.stdout))


def _inside(folder: Path, *command: str) -> list[str]:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    return [*unshare, "sh", "-c", _MOUNTED, "sh", str(folder), str(_SIZE_BYTES), *command]


def main() -> None:
    """Do the job that came as the argument, and say how it went."""
    job = json.loads(sys.argv[1])
    tally = met_full_disks(Path(job["folder"]), job["victim"], free_bytes=job["free_bytes"])
    sys.stdout.write(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
