"""Runs as a folder to give away: an RO-Crate whose records and files anyone can check.

`ledger/` in it is a ledger of its own: the segments byte for byte, the artifacts under their
digests, the head of the ledger that they were taken from. `SHA256SUMS` lists every file, as
`sha256sum` does; its first line holds the digest of the lines below, which names the bundle.
`verify_bundle.py` checks all of it with nothing but Python. A bundle is written aside, checked by
that very file, and then named; so one that is there is whole.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import durable, history, store
from repro.ledger.heads import statement as statement_of
from repro.ledger.privacy import code_holds_secret, holds_secret
from repro.report.bundle import crate, verify_bundle
from repro.report.bundle.content import Content, gather
from repro.report.bundle.crate import About, BundledFile

_VERIFIER = Path(verify_bundle.__file__)
_README = Path(__file__).with_name("readme.md")
_CODE = ("patch", "untracked", "source")
"""The roles of files that people wrote: what they should not have written there is looked for."""
_JSON, _JSON_LINES, _TEXT = "application/json", "application/jsonl", "text/plain"


@frozen(kw_only=True)
class Bundled:
    """A bundle that was written: the digest that names it, and what it holds."""

    folder: Path
    digest: str
    head: str
    num_executions: int
    num_artifacts: int
    num_left_out: int
    size_bytes: int


def bundle(
    root: Path,
    beginnings: Sequence[str],
    folder: Path,
    *,
    about: About,
    leave_out: Collection[str] = (),
) -> Bundled:
    """Write the runs or executions whose ids begin so, and all that they rest on, to a new folder.

    Raises:
        LedgerError: there is no ledger, nothing or more than one run has such an id, or the folder
            is there or cannot be written, or a secret would be given away.
        IntegrityError: a record or an artifact is not what was recorded; nothing is written.
    """
    if folder.exists():
        raise LedgerError(f"{folder}: is already there; a bundle is written once, name another")
    statement = statement_of(root)  # first: what is sealed later contradicts nothing
    content = gather(root, beginnings, leave_out=leave_out)
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        durable.make_folder(part)
        written = _write(root, part, content, statement, about=about)
        _check(part)
        part.rename(folder)
        durable.sync(folder.parent)
    except OSError as error:
        raise durable.refused(folder, error, what="the bundle is not written") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundled(
        folder=folder,
        digest=written.digest,
        head=written.head,
        num_executions=len(content.segments),
        num_artifacts=len(content.artifacts),
        num_left_out=len(content.left_out),
        size_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


@frozen(kw_only=True)
class _Written:
    digest: str
    head: str


def _write(
    root: Path, folder: Path, content: Content, statement: bytes, *, about: About
) -> _Written:
    head = digest.sha256(statement)
    paths = {each: _object(each) for each in content.artifacts}
    files = [
        *_copied(root, folder, content),
        _put(folder, f"ledger/heads/{head[7:]}.json", statement, "head of the ledger", _JSON),
        *_specs(folder, content),
        _put(folder, "bundle.json", _said(content, head), "what the bundle holds", _JSON),
        _put(folder, _VERIFIER.name, _VERIFIER.read_bytes(), "verifier", "text/x-python"),
        _put(folder, "README.md", _readme(content), "how to check the bundle", "text/markdown"),
    ]
    described = crate.metadata(content, files, about=about, paths=paths)
    sums = {each.path: each.sha256 for each in files}
    sums[crate.FILE] = _put(folder, crate.FILE, described, "description", _JSON).sha256
    lines = "".join(f"{sums[path][7:]}  {path}\n" for path in sorted(sums)).encode()
    own = digest.sha256(lines)
    (folder / verify_bundle.SUMS).write_bytes(b"# %s\n%s" % (own.encode(), lines))
    return _Written(digest=own, head=head)


def _copied(root: Path, folder: Path, content: Content) -> Iterator[BundledFile]:
    """The segments as far as they were read, and the artifacts.

    Raises:
        LedgerError: a record or a source file holds a secret.
    """
    for name, said in content.segments.items():
        path = f"ledger/segments/{name}.jsonl"
        with history.segment_path(root, name).open("rb") as segment:
            data = segment.read(said.size_bytes)
        if holds_secret(data):
            raise LedgerError(
                f"{path}: holds what looks like a secret, or like the value of an environment"
                " variable that is named like one; no record can be changed, so this execution"
                " cannot be given away"
            )
        yield _put(folder, path, data, f"records of a {said.start.purpose}", _JSON_LINES)
    for sha256, named in content.artifacts.items():
        source, target = store.locate(root, sha256), folder / _object(sha256)
        if named.role in _CODE and code_holds_secret(source.read_bytes()):
            raise LedgerError(
                f"{source}: the {named.role} holds what looks like a secret;"
                f" leave it behind with --leave-out {named.role}"
            )
        durable.make_folder(target.parent)
        shutil.copyfile(source, target)
        yield BundledFile(
            path=_object(sha256),
            name=f"{named.role} {named.name}",
            description=f"Artifact in the role of {named.role}, called {named.name}.",
            media_type=named.media_type or "application/octet-stream",
            size_bytes=target.stat().st_size,
            sha256=sha256,  # `_check` holds the copy to it
        )


def _specs(folder: Path, content: Content) -> Iterator[BundledFile]:
    starts = {said.start.run_id: said.start for said in content.segments.values()}
    for run_id, start in starts.items():
        if run_id is not None and start.canonical_spec is not None:
            data = start.canonical_spec.encode()
            yield _put(folder, f"specs/{run_id}.json", data, f"spec of {start.title}", _JSON)


def _said(content: Content, head: str) -> bytes:
    return digest.canonical(
        {
            "format": verify_bundle.FORMAT,
            "executions": content.chosen,
            "head": head,
            "left_out": content.left_out,
        }
    )


def _readme(content: Content) -> bytes:
    chosen = [content.segments[name] for name in content.chosen]
    titles = ", ".join(dict.fromkeys(said.start.title for said in chosen if said.start.title))
    lines = [
        f"- execution `{said.execution_id}` of run `{said.start.run_id}`:"
        f" {said.seal.outcome if said.seal else 'not sealed'}"
        for said in chosen
    ]
    text = _README.read_text(encoding="utf-8")
    return text.format(title=titles or "Executions", executions="\n".join(lines)).encode()


def _object(sha256: str) -> str:
    return f"ledger/objects/{sha256[7:9]}/{sha256[7:]}"


def _put(folder: Path, path: str, data: bytes, what: str, media_type: str) -> BundledFile:
    """Write a file of the bundle."""
    target = folder / path
    durable.make_folder(target.parent)
    target.write_bytes(data)
    return BundledFile(
        path=path,
        name=target.name,
        description=f"{what[0].upper()}{what[1:]}.",
        media_type=media_type,
        size_bytes=len(data),
        sha256=digest.sha256(data),
    )


def _check(folder: Path) -> None:
    """Verify the bundle as its reader will.

    Raises:
        IntegrityError: something in the ledger is not what was recorded.
    """
    findings = verify_bundle.verify(folder).findings
    if findings:
        raise IntegrityError(*map(str, findings), "nothing was bundled; `verify` says more")
