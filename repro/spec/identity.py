"""The name of a run: the digest of its spec's canonical bytes.

The typed value is digested, not the text, so comments, key order and `7` against `7.0` do not
matter. Defaults are included: a changed default must not give an old id a new meaning. A field
that came late is left out at its default, so old ids stand. Notes for people and paths (a digest
pins what they lead to) are never included, and what is not in a spec (device, workers, code
version) belongs to the execution.
"""

import json
from functools import cache
from typing import Any

from cattrs import Converter

from repro import digest
from repro.errors import SpecError
from repro.spec import converter
from repro.spec.document import Spec
from repro.spec.problems import dotted
from repro.spec.structure import judged


def identity_data(value: Any) -> Any:
    """The plain data that an id of a spec, or of a part of one, is made of."""
    return _writer().unstructure(value)


def canonical_spec(spec: Spec) -> bytes:
    """The bytes that name a run: every field but notes and paths, in one fixed form."""
    return digest.canonical(identity_data(spec))


def run_id(spec: Spec) -> str:
    """32 hex digits that name the run, for ever and on every machine."""
    return digest.xxh3_128(canonical_spec(spec))


def spec_of(canonical: bytes, *, recorded_id: str | None = None) -> Spec:
    """The spec of a recorded run, without its notes, and with `(not recorded)` for paths.

    Raises:
        SpecError: when the bytes are not those that this spec gives, or not those that
            *recorded_id* names.
    """
    name = f"recorded spec {digest.xxh3_128(canonical)}"
    if recorded_id is not None and recorded_id != digest.xxh3_128(canonical):
        raise SpecError(f"{name}: it was recorded as run {recorded_id}; one of the two was altered")
    try:
        data = json.loads(canonical)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{name}: expected canonical JSON: {error}") from error
    spec, found = judged(data, recorded=True)
    if spec is None:
        raise SpecError(*(f"{name}: {dotted(each.path)}: {each.message}" for each in found))
    if canonical_spec(spec) != canonical:
        msg = f"it reads as run {run_id(spec)}; it was altered, or another version wrote it"
        raise SpecError(f"{name}: {msg}")
    return spec


@cache
def _writer() -> Converter:
    return converter.make_writer(identity=True)
