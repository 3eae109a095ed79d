"""How long work tells what it is doing. The engine never prints; whoever calls it decides."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Reports *amount* more units done, and optionally the numbers that mean something now."""

    def __call__(self, amount: int, note: str = "") -> None: ...


class Progress(Protocol):
    """Where notices and progress go."""

    def notify(self, text: str) -> None:
        """Say one line."""

    def track(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Show work of *total* units while the context is open."""


class Silent:
    """Progress that nobody watches: tests, pipes, background jobs."""

    def notify(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Advance]:
        """Show nothing."""
        del label, total
        yield _ignore


def _ignore(amount: int, note: str = "") -> None:
    del amount, note
