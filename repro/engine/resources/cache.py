"""Bring a resource into the cache and read it back, held to its pinned digest both times.

The cache keeps one safetensors file a resource. Its content is digested whenever `fetch` finds it
(once a process while the file stays the same) and whenever `read` takes a part out of it: a damaged
file is found before it is used, fetched again where that is possible, and named where it is not.
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

from repro.engine.resources.resource import Notify, Resource, Source
from repro.engine.resources.table import TABLE
from repro.engine.resources.tensors import (
    Arrays,
    Tensors,
    read_metadata,
    read_tensors,
    tensors_digest,
    write_tensors,
)
from repro.errors import ResourceError


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
        f"`python -m repro fetch {name} --from PATH` (PATH: {resource.accepted})"
    )


def fetch(
    name: str,
    *,
    cache: Path,
    given: Path | None = None,
    offline: bool = False,
    notify: Notify,
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
    with _alone(resource, cache):
        if given is not None:
            return _take(resource, given, target, label=str(given), notify=notify)
        failures = _cache_failure(resource, target, notify=notify)
        if not failures:
            return target
        if offline:
            raise _not_had(resource, [*failures, "offline: no other source was asked"])
        for source in resource.sources:
            notify(f"{name}: trying {source.label}")
            try:
                return _from_source(resource, source, target, notify=notify)
            except ResourceError as error:
                failures.append(f"{source.label}: {error}")
                notify(f"{name}: {error}")
    raise _not_had(resource, failures)


def read(name: str, part: str, *, cache: Path, table: Mapping[str, Resource] = TABLE) -> Arrays:
    """The tensors of one part, under their names within it, digested on the way.

    Raises:
        ResourceError: when the resource is not in the cache or its content is damaged.
    """
    resource = _known(name, table)
    path = _cached(resource, cache)
    if not path.exists():
        raise _not_had(resource, [f"{path}: not there"])
    tensors = read_tensors(path, wanted=lambda each: resource.part_of(each)[0] == part)
    parts = _by_part(tensors, resource.part_of)
    recorded = read_metadata(path) or {}
    try:
        _hold_to_pins(resource, _digests(parts), recorded=recorded, where=path, parts=[part])
    except ResourceError as error:
        again = f"the cached file is damaged; `python -m repro fetch {name}` replaces it"
        raise ResourceError(*error.problems, again) from error
    if part not in parts:
        msg = f"{path}: this copy of {name} has no part {part!r}"
        raise ResourceError(msg)
    return parts[part]


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


def _cache_failure(resource: Resource, target: Path, *, notify: Notify) -> list[str]:
    """Why the cache cannot give the resource; nothing when it can."""
    if not target.exists():
        return [f"{target}: not there"]
    try:
        stat = target.stat()
        digests = _file_digests(
            target, (stat.st_ino, stat.st_size, stat.st_mtime_ns), resource.part_of
        )
        _hold_to_pins(resource, digests, recorded=read_metadata(target) or {}, where=target)
    except ResourceError as error:
        notify(f"{resource.name}: the cached file is damaged and will be replaced")
        return [str(error)]
    return []


@lru_cache(maxsize=16)
def _file_digests(
    path: Path, stamp: tuple[int, ...], part_of: Callable[[str], tuple[str, str]]
) -> Mapping[str, str]:
    """The digest of every part of a file; *stamp* is what changes when the file does."""
    del stamp
    return _digests(_by_part(read_tensors(path), part_of))


def _take(resource: Resource, source: Path, target: Path, *, label: str, notify: Notify) -> Path:
    """Decode what a source gave, hold it to the pins, and put it into the cache."""
    started_s = time.monotonic()
    if not source.exists():
        msg = f"{source}: no such file or folder (expected {resource.accepted})"
        raise ResourceError(msg)
    tensors = resource.decode(source)
    digests = _digests(_by_part(tensors, resource.part_of))
    _hold_to_pins(resource, digests, recorded={}, where=source)
    _write(tensors, target, metadata=digests)
    elapsed_s = time.monotonic() - started_s
    notify(f"{resource.name}: from {label}; verified and stored in {target} ({elapsed_s:.1f} s)")
    return target


def _from_source(resource: Resource, source: Source, target: Path, *, notify: Notify) -> Path:
    folder = target.parent / "downloads" / resource.name / re.sub(r"\W+", "-", source.label)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror}"
        raise ResourceError(msg) from error
    brought = source.obtain(folder)
    try:
        return _take(resource, brought, target, label=source.label, notify=notify)
    finally:
        # Whether it was taken or refused, it is of no further use; only a broken-off one is kept.
        shutil.rmtree(folder, ignore_errors=True)


def _write(tensors: Arrays, target: Path, *, metadata: Mapping[str, str]) -> None:
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_tensors(tensors, aside, metadata=metadata)
        aside.replace(target)
    except OSError as error:
        msg = f"{target}: cannot be written: {error}"
        raise ResourceError(msg) from error
    finally:
        aside.unlink(missing_ok=True)


def _by_part(tensors: Tensors, part_of: Callable[[str], tuple[str, str]]) -> dict[str, Arrays]:
    parts: dict[str, Arrays] = {}
    for name, value in tensors.items():
        part, short = part_of(name)
        parts.setdefault(part, {})[short] = value
    return parts


def _digests(parts: Mapping[str, Tensors]) -> dict[str, str]:
    return {part: tensors_digest(tensors) for part, tensors in parts.items()}


def _hold_to_pins(
    resource: Resource,
    digests: Mapping[str, str],
    *,
    recorded: Mapping[str, str],
    where: Path,
    parts: Collection[str] | None = None,
) -> None:
    """Refuse parts that are not what is pinned, or for extras what was recorded when cached."""
    expected = {**recorded, **resource.digests}
    problems = [
        f"{where}: {part}: expected content {digest}, got {digests.get(part, 'nothing')}"
        for part, digest in expected.items()
        if (parts is None or part in parts) and digests.get(part) != digest
    ]
    if problems:
        raise ResourceError(*problems)


def _not_had(resource: Resource, failures: Sequence[str]) -> ResourceError:
    return ResourceError(
        f"{resource.name}: could not be had from any source",
        *(f"  {failure}" for failure in failures),
        f"  to get it: {how_to_get(resource.name, table={resource.name: resource})}",
    )
