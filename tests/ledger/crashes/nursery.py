"""A process that forks victims, lets them work, and kills them all at once.

It has imported what they need and has one thread, so that a victim costs a fork and nothing else.
A job comes as a line of JSON, and so does the answer: how each victim ended, and what it said.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb  # noqa: F401  # or each fold would import it anew
from attrs import frozen

from repro.errors import ReproError
from tests.ledger.crashes.faults import FAULTS, counted
from tests.ledger.crashes.victims import VICTIMS

REPOSITORY = Path(__file__).parents[3]
LIVED_ON = 3


@frozen(kw_only=True)
class Life:
    """A victim: how it ended (the negative number of the signal), and what it said until then.

    One that met an error of ours ended with that error's exit status and said it last. One that
    met its fault and ended well nevertheless ended with `LIVED_ON`.
    """

    end: int
    said: list[list[Any]]


class Nursery:
    """The process, while the block lasts."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            text=True,
        )
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback_: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def kill(
        self,
        victim: str,
        root: Path,
        *,
        seeds: list[int],
        after_s: float | None = None,
        fault: str = "",
        first: int = 0,
    ) -> list[Life]:
        """Let a victim of each seed work, and kill them together `after_s` seconds later.

        Without a time they live until they end, or until `fault` at their `first` call ends them.
        """
        job = {"victim": victim, "root": str(root), "seeds": seeds, "after_s": after_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job | {"fault": fault, "first": first}) + "\n")
        self._process.stdin.flush()
        lives = json.loads(self._process.stdout.readline())
        return [Life(end=end, said=said) for end, said in lives]


def main() -> None:
    """Do one job after the other."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_killed(**json.loads(line))) + "\n")
        sys.stdout.flush()


def _killed(
    *, victim: str, root: str, seeds: list[int], after_s: float | None, fault: str, first: int
) -> list[tuple[int, list[Any]]]:
    born = [_born(victim, Path(root), seed, fault=fault, first=first) for seed in seeds]
    if after_s is not None:
        time.sleep(after_s)
        for pid, _ in born:
            os.kill(pid, signal.SIGKILL)
    lives = []
    for pid, ear in born:
        with os.fdopen(ear, encoding="utf-8") as file:
            said = file.read().split("\n")[:-1]
        end = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        lives.append((end, [json.loads(word) for word in said]))
    return lives


def _born(victim: str, root: Path, seed: int, *, fault: str, first: int) -> tuple[int, int]:
    """A victim's process id, and the pipe to hear it by."""
    ear, mouth = os.pipe()
    pid = os.fork()
    if pid:
        os.close(mouth)
        return pid, ear
    write = os.write  # as it is before a fault replaces it

    def say(*word: Any) -> None:
        write(mouth, json.dumps(word).encode() + b"\n")

    status = 1
    try:
        if fault:
            answer, number = FAULTS[fault]
            with counted(answer, first=first, number=number) as calls:
                VICTIMS[victim](root, say, seed)
            status = LIVED_ON if calls.number > first else 0
        else:
            VICTIMS[victim](root, say, seed)
            status = 0
    except ReproError as error:
        say("error", str(error))
        status = error.exit_status
    finally:
        if status == 1:
            traceback.print_exc()
        os._exit(status)


if __name__ == "__main__":
    main()
