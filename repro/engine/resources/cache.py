"""Bring a resource into the cache and read it back, held to its pinned digests both times.

The cache keeps one safetensors file a resource. Its content is digested when it is written, when
`fetch` finds it (once a process while the file stays the same) and when `read` takes a part out of
it: damage is found before it is used, repaired by fetching again where that is possible, and named
where it is not. Modules that load numpy are imported late: a plan asks only what is `present`.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from repro.engine.progress import Silent
from repro.engine.resources.header import read_metadata
from repro.engine.resources.resource import Notify, Resource, Source, Track
from repro.engine.resources.table import TABLE
from repro.errors import ResourceError

if TYPE_CHECKING:
    from repro.engine.resources.tensors import Arrays


def present(name: str, cache: Path, *, table: Mapping[str, Resource] = TABLE) -> bool:
    """Whether the cache holds a complete file of this resource; its content is not digested."""
    resource = _known(name, table)
    metadata = read_metadata(_cached(resource, cache))
    return metadata is not None and resource.digests.items() <= metadata.items()


def how_to_get(name: str, *, table: Mapping[str, Resource] = TABLE) -> str:
    """One line that says how a person gets this resource."""
    resource = _known(name, table)
    return (
        f"run `python -m repro fetch {name}`, or with a copy of your own "
        f"`python -m repro fetch {name} --from PATH` (PATH: {resource.accepted}, or "
        f"the {name}.safetensors of another cache)"
    )


def fetch(
    name: str,
    *,
    cache: Path,
    given: Path | None = None,
    offline: bool = False,
    notify: Notify,
    track: Track | None = None,
    table: Mapping[str, Resource] = TABLE,
) -> Path:
    """The cached file of a resource, verified; brought from the first source that can give it.

    A path that the user gives comes first and has no substitute: when it does not hold the pinned
    content, that is the answer. Then the cache, then the sources in the order of the table.

    Raises:
        ResourceError: names every source that was tried and why it could not give the resource.
    """
    resource = _known(name, table)
    target = _cached(resource, cache)
    if given is None and not _cache_failures(resource, target):
        return target
    with _alone(resource, cache):
        if given is not None:
            return _take(resource, given, target, label=str(given), notify=notify)
        failures = _cache_failures(resource, target)  # again: another process may have brought it
        if not failures:
            return target
        if offline:
            raise _not_had(resource, [*failures, "offline: no other source was asked"])
        if target.exists():
            notify(f"{name}: the cached file is damaged and will be replaced")
        return _from_sources(
            resource, target, failures, notify=notify, track=track or Silent().track
        )


def read(name: str, part: str, *, cache: Path, table: Mapping[str, Resource] = TABLE) -> "Arrays":
    """The tensors of one part, under their names within it, digested on the way.

    Raises:
        ResourceError: when the resource is not in the cache, has no such part, or is damaged.
    """
    from repro.engine.resources.tensors import by_part, read_tensors, tensors_digest

    resource = _known(name, table)
    path = _cached(resource, cache)
    if not path.exists():
        raise _not_had(resource, [f"{path}: not there"])
    tensors = read_tensors(path, wanted=lambda each: resource.part_of(each)[0] == part)
    found = by_part(tensors, resource.part_of)
    if part not in found:
        msg = f"{path}: this copy of {name} has no part {part!r}"
        raise ResourceError(msg)
    try:
        digests = {part: tensors_digest(found[part])}
        _hold_to_pins(resource, digests, recorded=read_metadata(path), where=path, parts=[part])
    except ResourceError as error:
        again = f"the cached file is damaged; `python -m repro fetch {name}` replaces it"
        raise ResourceError(*error.problems, again) from error
    return found[part]


def _known(name: str, table: Mapping[str, Resource]) -> Resource:
    if name not in table:
        msg = f"unknown resource {name!r}, expected one of: {', '.join(table)}"
        raise ResourceError(msg)
    return table[name]


def _cached(resource: Resource, cache: Path) -> Path:
    return cache / f"{resource.name}.safetensors"


@contextmanager
def _alone(resource: Resource, cache: Path) -> Iterator[None]:
    """Let one process at a time bring a resource into a cache."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / f".{resource.name}.lock").open("wb")
    except OSError as error:
        msg = f"{cache}: the cache cannot be written: {error.strerror}; choose another with --cache"
        raise ResourceError(msg) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cache_failures(resource: Resource, target: Path) -> list[str]:
    """Why the cache cannot give the resource; nothing when it can."""
    try:
        stat = target.stat()
    except OSError as error:
        return [f"{target}: {error.strerror}"]
    stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    try:
        digests = _file_digests(target, stamp, resource.part_of)
        _hold_to_pins(resource, digests, recorded=read_metadata(target), where=target)
    except ResourceError as error:
        return list(error.problems)
    return []


@lru_cache(maxsize=16)
def _file_digests(
    path: Path, stamp: tuple[int, ...], part_of: Callable[[str], tuple[str, str]]
) -> Mapping[str, str]:
    """The digest of every part of a file; *stamp* is what changes when the file does."""
    from repro.engine.resources.tensors import part_digests, read_tensors

    del stamp
    return part_digests(read_tensors(path), part_of)


def _from_sources(
    resource: Resource, target: Path, failures: Sequence[str], *, notify: Notify, track: Track
) -> Path:
    failures = list(failures)
    for source in resource.sources:
        notify(f"{resource.name}: trying {source.label}")
        try:
            return _from_source(resource, source, target, notify=notify, track=track)
        except ResourceError as error:
            reason = "; ".join(error.problems)
            failures.append(f"{source.label}: {reason}")
            notify(f"{resource.name}: {reason}")
    raise _not_had(resource, failures)


def _from_source(
    resource: Resource, source: Source, target: Path, *, notify: Notify, track: Track
) -> Path:
    downloads = target.parent / f".{resource.name}.downloads"
    folder = downloads / re.sub(r"\W+", "-", source.label)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        brought = source.obtain(folder, track=track)
    except OSError as error:
        msg = f"{folder}: cannot be used: {error}"
        raise ResourceError(msg) from error
    try:
        taken = _take(resource, brought, target, label=source.label, notify=notify)
    except ResourceError:
        shutil.rmtree(folder, ignore_errors=True)  # only what broke off is worth continuing
        raise
    shutil.rmtree(downloads, ignore_errors=True)
    return taken


def _take(resource: Resource, source: Path, target: Path, *, label: str, notify: Notify) -> Path:
    """Decode what a source gave, hold it to the pins, and put it into the cache."""
    from repro.engine.resources.tensors import part_digests

    started_s = time.monotonic()
    if not source.exists():
        msg = f"{source}: no such file or folder (expected {resource.accepted})"
        raise ResourceError(msg)
    tensors = _copied(resource, source) or resource.decode(source)
    digests = part_digests(tensors, resource.part_of)
    _hold_to_pins(resource, digests, recorded=None, where=source)
    _write(resource, tensors, target, metadata=digests)
    elapsed_s = time.monotonic() - started_s
    notify(f"{resource.name}: from {label}; verified and stored in {target} ({elapsed_s:.1f} s)")
    return target


def _copied(resource: Resource, source: Path) -> "Arrays":
    """The tensors of a file from another cache, without extras, which no pin proves there."""
    from repro.engine.resources.tensors import read_tensors

    if source.suffix != ".safetensors":
        return {}
    return read_tensors(source, wanted=lambda name: resource.part_of(name)[0] in resource.digests)


def _write(
    resource: Resource, tensors: "Arrays", target: Path, *, metadata: Mapping[str, str]
) -> None:
    """Write aside, read back, rename."""
    from repro.engine.resources.tensors import part_digests, read_tensors, write_tensors

    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_tensors(tensors, aside, metadata=metadata)
        digests = part_digests(read_tensors(aside), resource.part_of)
        _hold_to_pins(resource, digests, recorded=metadata, where=aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _hold_to_pins(
    resource: Resource,
    digests: Mapping[str, str],
    *,
    recorded: Mapping[str, str] | None,
    where: Path,
    parts: Collection[str] | None = None,
) -> None:
    """Refuse parts that are not what is pinned, or for extras not what was recorded beside them."""
    expected = {**(recorded or {}), **resource.digests}
    problems = [
        f"{where}: {part}: expected content {digest}, got {digests.get(part, 'nothing')}"
        for part, digest in expected.items()
        if (parts is None or part in parts) and digests.get(part) != digest
    ]
    if problems:
        raise ResourceError(*problems)


def _not_had(resource: Resource, failures: Sequence[str]) -> ResourceError:
    return ResourceError(
        f"{resource.name} ({resource.title}) could not be had:",
        *(f"  {failure}" for failure in failures),
        f"  to get it, {how_to_get(resource.name, table={resource.name: resource})}",
    )
