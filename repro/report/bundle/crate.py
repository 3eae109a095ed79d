"""The bundle described for machines: an RO-Crate 1.1 of the profile Process Run Crate 0.5.

Every stage that an execution worked on is a `CreateAction`: what it read, what it left, when, with
which software, and how it ended. A stage that an execution reused is the action of the one that did
it. Numbers are `PropertyValue`s of the evaluation that measured them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from attrs import evolve, field, frozen

from repro.ledger.records import Measurement, Provenance, StageEvent
from repro.report.bundle.content import Content, Said

FILE = "ro-crate-metadata.json"
PROCESS_RUN_CRATE = "https://w3id.org/ro/wfrun/process/0.5"
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_CONTEXT = (
    "https://w3id.org/ro/crate/1.1/context",
    {"sha256": f"{_TERMS}sha256", "environment": f"{_TERMS}environment"},
)
_COMPLETED = "http://schema.org/CompletedActionStatus"
_FAILED = "http://schema.org/FailedActionStatus"
_NO_LICENSE = "No license was stated; ask whoever gave you this bundle before you reuse it."

Entity = dict[str, Any]


@frozen(kw_only=True)
class BundledFile:
    """A file of the bundle: its path in there, what it is, and its bytes as numbers."""

    path: str
    name: str
    description: str
    media_type: str
    size_bytes: int
    sha256: str


@frozen(kw_only=True)
class About:
    """What only the person who publishes a bundle can say, and the day of it.

    The publisher and the license are URLs.
    """

    published: str
    author: str = ""
    publisher: str = ""
    license: str = ""


@frozen(kw_only=True)
class _Crate:
    content: Content
    paths: Mapping[str, str] = field(repr=False)
    """Where each artifact lies in the bundle, by its digest."""
    about: About


def metadata(
    content: Content, files: Iterable[BundledFile], *, about: About, paths: Mapping[str, str]
) -> bytes:
    """The content of `ro-crate-metadata.json`; *paths* is where each artifact lies."""
    crate = _Crate(content=content, paths=paths, about=about)
    listed = [_file(each) for each in files]
    actions = [
        entity
        for said in content.segments.values()
        if said.start.purpose in ("run", "rehearsal")
        for entity in _execution(crate, said)
    ]
    named = {entity["@id"]: entity for entity in (*listed, *actions)}
    entities = (_descriptor(), *_root(crate, listed, actions), *named.values())
    graph = [{key: _compact(value) for key, value in each.items()} for each in entities]
    text = json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def _compact(value: Any) -> Any:
    """A list of one is written as that one, as RO-Crate 1.1 recommends."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _descriptor() -> Entity:
    return {
        "@id": FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }


def _root(crate: _Crate, files: list[Entity], actions: list[Entity]) -> Iterator[Entity]:
    runs = {said.start.run_id: said.start for said in _chosen(crate) if said.start.run_id}
    titles = ", ".join(dict.fromkeys(each.title for each in runs.values())) or "executions"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Runs: {titles}",
        "description": (
            f"{len(crate.content.chosen)} executions of the runs {', '.join(runs) or '(none)'},"
            " with all that they rest on: records, artifacts, and a program that checks them."
        ),
        "datePublished": crate.about.published,
        "conformsTo": {"@id": PROCESS_RUN_CRATE},
        "license": {"@id": crate.about.license or "#license"},
        "hasPart": [{"@id": each["@id"]} for each in files],
        "mentions": [{"@id": each["@id"]} for each in actions if each["@type"] == "CreateAction"],
    }
    if crate.about.publisher:
        root["publisher"] = organization = {"@id": crate.about.publisher}
        named = {"name": crate.about.publisher, "url": crate.about.publisher}
        yield {**organization, "@type": "Organization", **named}
    if crate.about.author:
        root["author"] = person = {"@id": "#author"}
        works_for = {"affiliation": root["publisher"]} if crate.about.publisher else {}
        yield {**person, "@type": "Person", "name": crate.about.author, **works_for}
    yield root
    yield {
        "@id": PROCESS_RUN_CRATE,
        "@type": "CreativeWork",
        "name": "Process Run Crate",
        "version": "0.5",
    }
    yield {
        "@id": crate.about.license or "#license",
        "@type": "CreativeWork",
        "name": crate.about.license or "No license stated",
        "description": crate.about.license or _NO_LICENSE,
    }


def _chosen(crate: _Crate) -> Iterator[Said]:
    return (crate.content.segments[name] for name in crate.content.chosen)


def _file(each: BundledFile) -> Entity:
    return {
        "@id": each.path,
        "@type": "File",
        "name": each.name,
        "description": each.description,
        "encodingFormat": each.media_type,
        "contentSize": str(each.size_bytes),
        "sha256": each.sha256.removeprefix("sha256:"),
    }


def _execution(crate: _Crate, said: Said) -> Iterator[Entity]:
    """The actions of an execution, the software that acted, its environment and its numbers."""
    known = {
        each.record.provider: each.record.value
        for each in said.recorded
        if isinstance(each.record, Provenance)
    }
    software = _software(said, known)
    variables = list(_variables(known.get("environment", {})))
    yield from (software, *variables)
    for work in _worked_on(said):
        numbers = list(_numbers(said, work))
        spec = {"@id": f"specs/{said.start.run_id}.json"}
        files = [
            file
            for each in said.inputs.get(work.event.stage_id, ())
            for file in _left_by(crate, said.reused.get(each, said.execution_id), each)
        ]
        left = _left_by(crate, said.execution_id, work.event.stage_id)
        action = {
            **_action(said, work),
            "instrument": {"@id": software["@id"]},
            "object": [spec, *files],
            "result": [*left, *({"@id": each["@id"]} for each in numbers)],
            "environment": [{"@id": each["@id"]} for each in variables],
            "agent": [{"@id": "#author"}] if crate.about.author else [],
        }
        yield from numbers
        yield {key: value for key, value in action.items() if value != []}


@frozen(kw_only=True)
class _Work:
    """A stage that an execution worked on: its last event, and the records of start and end.

    `ended_at` is empty where nobody recorded an end.
    """

    event: StageEvent
    first: int
    last: int
    started_at: str
    ended_at: str = ""


def _worked_on(said: Said) -> Iterator[_Work]:
    """Every stage that this execution did itself."""
    begun: dict[str, _Work] = {}
    for each in said.recorded:
        event = each.record
        if not isinstance(event, StageEvent) or event.event == "reused":
            continue
        new = _Work(event=event, first=each.seq, last=each.seq, started_at=each.time)
        if event.event == "started":
            begun[event.stage_id] = new
        else:
            work = begun.pop(event.stage_id, new)
            yield evolve(work, event=event, last=each.seq, ended_at=each.time)
    yield from begun.values()


def _action(said: Said, work: _Work) -> Entity:
    """Who did what, when, and how it ended; an end that nobody recorded is left out."""
    event, seal = work.event, said.seal
    action: Entity = {
        "@id": f"#{said.execution_id}/{work.first}",
        "@type": "CreateAction",
        "name": f"{event.stage_kind} {event.name}",
        "description": (
            f"Stage {event.stage_id} of run {said.start.run_id} ({said.start.title}), by execution"
            f" {said.execution_id} ({said.start.purpose})."
        ),
        "startTime": _time(work.started_at),
    }
    ended_at = work.ended_at or (said.recorded[-1].time if seal else "")
    if ended_at:
        action["endTime"] = _time(ended_at)
    if event.event == "done":
        action["actionStatus"] = _COMPLETED
    elif ended_at:
        action["actionStatus"] = _FAILED
        action["error"] = (seal.error or seal.outcome) if seal else "failed"
    return action


def _time(recorded: str) -> str:
    """To the millisecond, with the zone in numbers: the form that the profile asks for."""
    return datetime.fromisoformat(recorded).isoformat(timespec="milliseconds")


def _left_by(crate: _Crate, execution_id: str, stage_id: str) -> list[Entity]:
    """The files that a stage left, in the execution that did it, as far as the bundle has them."""
    said = crate.content.segments.get(execution_id)
    found = {each.sha256 for each in said.named if each.stage_id == stage_id} if said else ()
    return [{"@id": crate.paths[each]} for each in sorted(found) if each in crate.paths]


def _numbers(said: Said, work: _Work) -> Iterator[Entity]:
    """What a stage found: its measurements, and the facts with which it ended."""
    for each in said.recorded:
        measured = each.record
        if isinstance(measured, Measurement) and measured.stage_id == work.event.stage_id:
            yield {
                "@id": f"#{said.execution_id}/{each.seq}",
                "@type": "PropertyValue",
                "name": f"{measured.metric} of {measured.evaluation}",
                "propertyID": measured.metric,
                "value": str(measured.value),
                "description": (
                    f"Standard error {measured.se}, {measured.num_samples} samples,"
                    f" protocol {measured.protocol_id}."
                ),
            }
    if work.event.event == "done":
        yield {
            "@id": f"#{said.execution_id}/{work.last}",
            "@type": "PropertyValue",
            "name": f"facts of {work.event.stage_kind} {work.event.name}",
            "value": json.dumps(work.event.facts, sort_keys=True),
        }


def _software(said: Said, known: Mapping[str, Mapping[str, Any]]) -> Entity:
    """This package as the execution ran it: its version, and the digest of its source."""
    source, git = known.get("source", {}), known.get("git", {})
    commit = git.get("commit") if git.get("holds_package") else None
    version = str(source.get("version") or "unknown")
    name = str(source.get("sha256") or said.execution_id).removeprefix("sha256:")
    remote = str(git.get("remote") or "") if commit else ""
    url = remote if remote.startswith("http") else ""
    entity = {
        "@id": f"{url}#software/{name}",
        "@type": "SoftwareApplication",
        "name": "repro",
        "softwareVersion": f"{version}, commit {commit}" if commit else version,
        "description": f"Source digest {source.get('sha256') or 'not recorded'}.",
    }
    return {**entity, "url": url} if url else entity


def _variables(environment: Mapping[str, Any]) -> Iterator[Entity]:
    for name, value in sorted(environment.items()):
        yield {
            "@id": f"#environment/{quote(f'{name}={value}', safe='=')}",
            "@type": "PropertyValue",
            "name": name,
            "value": str(value),
        }
