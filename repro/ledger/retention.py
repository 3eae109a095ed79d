"""Which artifacts must stay, and why; the others may go. Nothing here changes anything.

What stays: whatever a recorded verdict weighed, with all that it rests on; whatever an execution
that is not over may use; the code of every execution; what a finished run left, but for its
training states and for the weights that it made nothing from; what an unfinished run goes on from.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.ledger import accounts, history
from repro.ledger.accounts import Account
from repro.ledger.records import Checkpoint, Measurement

CLAIM = "a verdict weighed it"
OPEN = "an execution that is not over may use it"
CODE = "it tells what an execution ran, or took in"
RESULT = "a finished run rests on it"
RESUME = "an unfinished run goes on from it"
STRANGE = "a newer version of this package named it"
YOUNG = "it was stored or used a moment ago"

UNRECORDED = "no record names it"
GIVEN_UP = "of a run or a rehearsal that was given up"
STATE = "training state that nothing goes on from"
CHECKPOINT = "weights that nothing was made from"
UNFINISHED = "of a stage that did not end well; nothing rests on it"

GRACE_S = 600.0
"""A file that was stored, or found again, so recently stays: its record may be on its way."""

_OBJECT = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class Policy:
    """What stays or goes besides.

    `keep_checkpoints`: the weights of every checkpoint of a finished run stay. `give_up_s`: so long
    after their last word, a rehearsal and a run that never finished hold nothing any more.
    """

    keep_checkpoints: bool = False
    give_up_s: float | None = None


@frozen(kw_only=True)
class Holding:
    """A stored artifact: its file, who named it, and why it stays or may go.

    `study` is that of the first execution that named it. `touched_ns` is when its bytes were last
    stored, by the clock of the file system, since the epoch.
    """

    sha256: str
    size_bytes: int
    touched_ns: int
    roles: tuple[str, ...]
    names: tuple[str, ...]
    study: str
    executions: tuple[str, ...]
    kept: bool
    why: str


def holdings(
    root: Path, policy: Policy, *, now: float, grace_s: float = GRACE_S
) -> tuple[Holding, ...]:
    """Every artifact in the store, and whether it must stay.

    Raises:
        IntegrityError: a segment is broken, so that nobody can tell what it names.
    """
    files = _files(root)  # before the records: what is stored from now on is nobody's yet
    said = accounts.read(root)
    given_up = _given_up(said, policy, now=now)
    needed = _needed(said, policy, given_up=given_up, stored=files.keys())
    naming = _naming(said)
    return tuple(
        _holding(
            sha256,
            status,
            naming.get(sha256, []),
            needed=needed.get(sha256) or (YOUNG if status[1] / 1e9 > now - grace_s else None),
            given_up=given_up,
        )
        for sha256, status in sorted(files.items())
    )


def _files(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every stored artifact."""
    found = {}
    for path in (root / "objects").glob("[0-9a-f][0-9a-f]/*"):
        if _OBJECT.fullmatch(path.name):
            status = path.stat()
            found[f"sha256:{path.name}"] = (status.st_size, status.st_mtime_ns)
    return found


_Naming = list[tuple[Account, str, str]]  # by whom, in which role, under which name


def _naming(said: Iterable[Account]) -> Mapping[str, _Naming]:
    found: dict[str, _Naming] = defaultdict(list)
    for account in said:
        for sha256, role, name in account.named():
            found[sha256].append((account, role, name))
    return found


def _holding(
    sha256: str,
    status: tuple[int, int],
    naming: _Naming,
    *,
    needed: str | None,
    given_up: Collection[str],
) -> Holding:
    roles = tuple(dict.fromkeys(role for _, role, _ in naming))
    executions = tuple(dict.fromkeys(account.execution_id for account, _, _ in naming))
    return Holding(
        sha256=sha256,
        size_bytes=status[0],
        touched_ns=status[1],
        roles=roles,
        names=tuple(dict.fromkeys(name for _, _, name in naming)),
        study=naming[0][0].start.study if naming else "",
        executions=executions,
        kept=needed is not None,
        why=needed or _why_not(roles, executions, given_up),
    )


def _why_not(roles: Collection[str], executions: Collection[str], given_up: Collection[str]) -> str:
    if not executions:
        return UNRECORDED
    if all(each in given_up for each in executions):
        return GIVEN_UP
    if "state" in roles:
        return STATE
    return CHECKPOINT if "weights" in roles else UNFINISHED


def _runs(said: Iterable[Account]) -> Mapping[tuple[str, str | None], list[Account]]:
    """The attempts at each run, oldest first; a rehearsal of a run is another run."""
    found: dict[tuple[str, str | None], list[Account]] = defaultdict(list)
    for account in said:
        if account.plan:
            found[account.start.purpose, account.start.run_id].append(account)
    return found


def _finished(attempts: Iterable[Account]) -> bool:
    return any(account.status == "done" for account in attempts)


def _given_up(said: Iterable[Account], policy: Policy, *, now: float) -> frozenset[str]:
    """The executions of runs that hold nothing any more."""
    if policy.give_up_s is None:
        return frozenset()
    found: set[str] = set()
    for (purpose, _), attempts in _runs(said).items():
        throwaway = purpose == "rehearsal" or not _finished(attempts)
        last_word_at = max(account.last_word_at for account in attempts)
        if throwaway and last_word_at < now - policy.give_up_s:
            found.update(account.execution_id for account in attempts)
    return frozenset(found)


def _needed(
    said: list[Account],
    policy: Policy,
    *,
    given_up: Collection[str],
    stored: Collection[str],
) -> Mapping[str, str]:
    """The artifacts that must stay, each with the first reason."""
    needs = _Needs(said, policy, given_up=given_up, stored=stored)
    found: dict[str, str] = {}
    for why, digests in (
        (CLAIM, needs.of_verdicts()),
        (OPEN, needs.of_open()),
        (CODE, needs.of_executions()),
        (RESULT, needs.of_finished()),
        (RESUME, needs.of_unfinished()),
        (STRANGE, (each for account in said for each in account.strange)),
    ):
        for sha256 in digests:
            found.setdefault(sha256, why)
    return found


class _Needs:
    """What each reason keeps, as digests; some may not be stored any more."""

    def __init__(
        self,
        said: list[Account],
        policy: Policy,
        *,
        given_up: Collection[str],
        stored: Collection[str],
    ) -> None:
        self._said = said
        self._by_id = {account.execution_id: account for account in said}
        self._doers: dict[tuple[str, str], list[Account]] = defaultdict(list)
        self._savers: dict[tuple[str, str], list[Account]] = defaultdict(list)
        for account in said:
            for stage in account.done:
                self._doers[account.start.purpose, stage].append(account)
            for stage in {each.stage_id for each in account.checkpoints}:
                self._savers[account.start.purpose, stage].append(account)
        self._policy = policy
        self._given_up = given_up
        self._stored = stored

    def of_verdicts(self) -> Iterator[str]:
        """What was weighed, whether it was admitted or refused, and the stages below it."""
        for execution_id, seq in {each for account in self._said for each in account.weighed}:
            account = self._by_id.get(execution_id)
            if account is not None and seq in account.measurements:
                measured = account.measurements[seq]
                yield from _digests(measured)
                yield from self._below(account, [measured.stage_id])

    def of_open(self) -> Iterator[str]:
        """What the executions that are not over stored, and what anyone did of their plans."""
        planned = {stage for account in self._said if not account.over for stage in account.plan}
        for account in self._said:
            if not account.over:
                yield from (sha256 for sha256, _, _ in account.named())
            for stage in planned & account.stages():
                yield from self._left(account, stage, everything=True)

    def of_executions(self) -> Iterator[str]:
        """What belongs to an execution and to no stage of it."""
        for account in self._said:
            yield from (each.sha256 for each in account.artifacts if each.stage_id is None)

    def of_finished(self) -> Iterator[str]:
        """What the stages of finished runs left, whoever did them."""
        for account in self._said:
            if account.status == "done" and account.execution_id not in self._given_up:
                yield from self._below(account, account.plan)

    def of_unfinished(self) -> Iterator[str]:
        """For each stage of a run that nobody finished: all of it if it is done, else its start."""
        for (purpose, _), attempts in _runs(self._said).items():
            if _finished(attempts) or attempts[0].execution_id in self._given_up:
                continue
            for stage in {stage for account in attempts for stage in account.plan}:
                doers = self._doers.get((purpose, stage), [])
                for account in doers:
                    yield from self._left(account, stage, everything=True)
                if not doers:
                    yield from self._furthest(self._savers.get((purpose, stage), []), stage)
                    yield from self._most_parts(purpose, stage)

    def _below(self, account: Account, stages: Iterable[str]) -> Iterator[str]:
        """What these stages of an execution left, and all that they build on."""
        plan, waiting, seen = account.plan, list(stages), set[str]()
        while waiting:
            stage = waiting.pop()
            if stage not in seen:
                seen.add(stage)
                waiting += plan.get(stage, ())
                yield from self._left(self._doer(account, stage), stage)

    def _doer(self, account: Account, stage: str) -> Account:
        """The execution that did a stage which this one may have reused."""
        seen = {account.execution_id}
        while stage not in account.done and account.reused.get(stage, "") in self._by_id:
            account = self._by_id[account.reused[stage]]
            if account.execution_id in seen:
                break
            seen.add(account.execution_id)
        return account

    def _left(self, account: Account, stage: str, *, everything: bool = False) -> Iterator[str]:
        """What a stage left: of a training the last weights, unless it is to be everything."""
        saved = [each for each in account.checkpoints if each.stage_id == stage]
        last = max((each.step for each in saved), default=None)
        for each in saved:
            if everything or self._policy.keep_checkpoints or each.step == last:
                yield each.weights
            if everything and each.state is not None:
                yield each.state
        files = {sha256 for each in saved for sha256 in (each.weights, each.state)}
        for artifact in account.artifacts:
            if artifact.stage_id == stage:
                yield from [artifact.sha256] if everything or artifact.sha256 not in files else []
                yield from _texts(artifact.facts.get("weights"))  # that images were made from
        for measurement in account.measurements.values():
            if measurement.stage_id == stage:
                yield from _digests(measurement)

    def _furthest(self, accounts: Iterable[Account], stage: str) -> Iterator[str]:
        """What the training that came furthest can be resumed from, as `history.saved_training`."""
        saved = [(self._intact(account, stage), account.execution_id) for account in accounts]
        able = [(each[-1].step, name, each) for each, name in saved if each]
        for checkpoint in max(able, default=(0, "", []))[2]:
            yield from _texts(checkpoint.weights, checkpoint.state)

    def _most_parts(self, purpose: str, stage: str) -> Iterator[str]:
        """The parts that the stage can go on from, as `history.saved_artifacts` finds them."""
        able = [
            (len(parts), account.execution_id, parts)
            for account in self._said
            if account.start.purpose == purpose and (parts := self._parts(account, stage))
        ]
        yield from max(able, default=(0, "", []))[2]

    def _parts(self, account: Account, stage: str) -> list[str]:
        found = {
            each.name: each.sha256
            for each in account.artifacts
            if each.stage_id == stage and each.role in history.PARTS
        }
        ordered = (found[name] for name in sorted(found))
        return list(takewhile(lambda sha256: sha256 in self._stored, ordered))

    def _intact(self, account: Account, stage: str) -> list[Checkpoint]:
        by_step = {each.step: each for each in account.checkpoints if each.stage_id == stage}
        ordered = [by_step[step] for step in sorted(by_step)]
        return list(
            takewhile(
                lambda each: each.weights in self._stored and each.state in self._stored, ordered
            )
        )


def _digests(measured: Measurement) -> Iterator[str]:
    sample = measured.facts.get("sample")
    weights = sample.get("weights") if isinstance(sample, Mapping) else None
    return _texts(
        measured.samples, measured.features, measured.influence, measured.reference, weights
    )


def _texts(*values: Any) -> Iterator[str]:
    return (each for each in values if isinstance(each, str))
