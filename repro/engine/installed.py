"""What installed packages build: the entry-point group `repro.engine`."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from repro.errors import RunError


def installed_builder(spec: Any) -> Callable[..., Any]:
    """The function that an installed package names for the kind of *spec*.

    Raises:
        RunError: when no installed package names one.
    """
    for plugin in entry_points(group="repro.engine", name=spec.kind):
        found: Callable[..., Any] = plugin.load()
        return found
    msg = (
        f"kind {spec.kind!r}: no installed package builds it; its package must name a function "
        f"for {spec.kind!r} in the entry-point group repro.engine"
    )
    raise RunError(msg)
