"""What a run will do: its stages, which are done, which are not and why, and what is missing.

Nothing here loads torch, reads a data set or touches the network.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import frozen

from repro.engine import resources
from repro.engine.latents import files
from repro.engine.pinned import PinnedNeed
from repro.engine.progress import Progress
from repro.engine.references import shipped_path
from repro.errors import ResourceError
from repro.ledger import history, store
from repro.ledger.history import SavedTraining
from repro.ledger.lease import Holder, holder_of
from repro.spec import Spec, Stage, run_id, stages
from repro.spec.autoencoder import AutoencoderKl
from repro.spec.conditional import ConditionalNetwork, VectorTable, idle_attention
from repro.spec.data import (
    Cifar10,
    FashionMnist,
    ImageFolder,
    ImageNetFolder,
    Stl10,
    TensorFile,
)
from repro.spec.encoder import LibraryEncoder
from repro.spec.evaluate import (
    CompatAsTorchvision,
    FileReference,
    InceptionV3Compat,
    ShippedReference,
    TorchvisionInception,
)
from repro.spec.plan import Beginning, Probing, Sampling, Training


@frozen(kw_only=True)
class PlannedStage:
    """A stage and where it stands.

    `missing` says what it lacks and how to get it, `fetched` what the run brings by itself if there
    is a network, and how to get that without.
    """

    stage_id: str
    kind: str
    name: str
    inputs: tuple[str, ...]
    state: Literal["done", "to do", "blocked"]
    why: str
    missing: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()


@frozen(kw_only=True)
class RunPlan:
    """The stages of one run in the order in which they run."""

    run_id: str
    title: str
    stages: tuple[PlannedStage, ...]
    warnings: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to compute."""
        return all(stage.state == "done" for stage in self.stages)

    @property
    def blocked(self) -> tuple[str, ...]:
        """What must be supplied by hand before anything can start."""
        lines = [
            line for stage in self.stages if stage.state == "blocked" for line in stage.missing
        ]
        return tuple(dict.fromkeys(lines))

    @property
    def fetched(self) -> tuple[str, ...]:
        """What the run brings by itself before the stage that needs it."""
        return tuple(dict.fromkeys(line for stage in self.stages for line in stage.fetched))


def plan(
    spec: Spec, *, root: Path, cache: Path, rehearsal: bool = False, offline: bool = False
) -> RunPlan:
    """Hold the stages of a spec against the ledger and the cache."""
    wanted = {stage.stage_id: stage for stage in stages(spec)}
    done = done_stages(wanted.values(), root=root, rehearsal=rehearsal)
    saved = {
        stage_id: found
        for stage_id, stage in wanted.items()
        if stage.kind in ("train", "encoder") and stage_id not in done
        if (found := history.saved_training(root, stage_id, rehearsal=rehearsal))
    }
    broken = history.broken(root, list(wanted))
    return RunPlan(
        run_id=run_id(spec),
        title=spec.title,
        stages=tuple(
            _done(stage, by=done[stage.stage_id].execution_id)
            if stage.stage_id in done
            else _open(
                stage,
                needs(stage, wanted),
                by=holder_of(root, lease_key(stage.stage_id, rehearsal=rehearsal)),
                saved=saved.get(stage.stage_id),
                cache=cache,
                offline=offline,
            )
            for stage in stages(spec)
        ),
        warnings=(
            *(f"{path}: nothing in it counts: {problem}" for path, problem in broken),
            *advice(spec),
        ),
    )


def advice(spec: Spec) -> Sequence[str]:
    """What a person should know of a spec that can be run."""
    return idle_attention(spec.network) if isinstance(spec.network, ConditionalNetwork) else ()


def done_stages(
    wanted: Collection[Stage], *, root: Path, rehearsal: bool
) -> dict[str, history.DoneStage]:
    """Which stages need not be computed.

    A training that lacks a checkpoint must be: garbage collection took it, a stage to do reads it.
    """
    done = history.done_stages(root, [each.stage_id for each in wanted], rehearsal=rehearsal)
    open_stages = [stage for stage in wanted if stage.stage_id not in done]
    lacking = {
        trained
        for stage in open_stages
        for step, whole in _read_checkpoint(stage)
        for trained in stage.inputs
        if trained in done
        and done[trained].event.stage_kind == "train"
        and not _has(done[trained], step, root=root, whole=whole)
    }
    return {stage_id: each for stage_id, each in done.items() if stage_id not in lacking}


def _read_checkpoint(stage: Stage) -> Iterator[tuple[int | None, bool]]:
    """Which checkpoint of a training below a stage reads, and whether with the training's state."""
    match stage.spec:
        case Sampling(checkpoint=int() as step) | Probing(checkpoint=int() as step):
            yield step, False
        case Training(init=Beginning(mode=mode, checkpoint=step)):
            yield step, mode == "full"
        case _:
            pass


def _has(done: history.DoneStage, step: int | None, *, root: Path, whole: bool) -> bool:
    found = [each for each in done.checkpoints if each.step == step]
    if not found or not whole:
        return bool(found)
    return found[0].state is not None and store.path_of(root, found[0].state).is_file()


def lease_key(stage_id: str, *, rehearsal: bool) -> str:
    """What to hold while a stage is computed; rehearsals and runs do not wait for each other."""
    return f"rehearsal-{stage_id}" if rehearsal else stage_id


def _done(stage: Stage, *, by: str) -> PlannedStage:
    return _at(stage, state="done", why=f"by {by}")


def _open(
    stage: Stage,
    needed: "Sequence[Need]",
    *,
    by: Holder | None,
    saved: SavedTraining | None,
    cache: Path,
    offline: bool,
) -> PlannedStage:
    lacking = [need for need in needed if not need.present(cache)]
    fetched = [need for need in lacking if need.fetchable and not offline]
    missing = tuple(need.how_to_get for need in lacking if need not in fetched)
    brought = tuple(need.how_to_get for need in fetched)
    if missing:
        why = "an input is missing"
        return _at(stage, state="blocked", why=why, missing=missing, fetched=brought)
    return _at(stage, state="to do", why=_why(by, saved, fetched), fetched=brought)


def _why(by: Holder | None, saved: SavedTraining | None, fetched: "Sequence[Need]") -> str:
    if by:
        return f"{by} computes it now"
    if saved:
        step = saved.checkpoints[-1].step
        return f"continues after step {step} of execution {saved.execution_id}"
    if fetched:
        return f"not in the ledger; fetches {', '.join(need.name for need in fetched)} first"
    return "not in the ledger"


def _at(
    stage: Stage,
    *,
    state: Any,
    why: str,
    missing: tuple[str, ...] = (),
    fetched: tuple[str, ...] = (),
) -> PlannedStage:
    return PlannedStage(
        stage_id=stage.stage_id,
        kind=stage.kind,
        name=stage.name,
        inputs=stage.inputs,
        state=state,
        why=why,
        missing=missing,
        fetched=fetched,
    )


class Need(Protocol):
    """An input of a stage that no stage makes."""

    @property
    def name(self) -> str: ...

    @property
    def fetchable(self) -> bool:
        """Whether `fetch` may bring it, given a network."""

    @property
    def how_to_get(self) -> str:
        """One line for a person."""

    def present(self, cache: Path) -> bool:
        """Whether it is here; its content is verified when it is read."""

    def fetch(self, cache: Path, *, offline: bool, progress: Progress) -> None:
        """Bring it.

        Raises:
            ResourceError: says why it cannot be had.
        """


@frozen(kw_only=True)
class ResourceNeed:
    """A resource of the table, in the cache."""

    name: str
    fetchable: bool = True

    @property
    def how_to_get(self) -> str:
        return f"{self.name}: {resources.how_to_get(self.name)}"

    def present(self, cache: Path) -> bool:
        return resources.present(self.name, cache)

    def fetch(self, cache: Path, *, offline: bool, progress: Progress) -> None:
        resources.fetch(
            self.name,
            cache=cache,
            offline=offline,
            notify=progress.notify,
            track=progress.track,
        )


@frozen(kw_only=True)
class FileNeed:
    """A file or a folder of the user's."""

    name: str
    fetchable: bool = False

    @property
    def how_to_get(self) -> str:
        return f"{self.name}: no such file or folder; put it there or correct the path in the spec"

    def present(self, cache: Path) -> bool:
        del cache
        return Path(self.name).exists()

    def fetch(self, cache: Path, *, offline: bool, progress: Progress) -> None:
        raise ResourceError(self.how_to_get)


@frozen(kw_only=True)
class AutoencoderNeed:
    """The files of an autoencoder: on the hub, or in a folder of the user's."""

    spec: AutoencoderKl

    @property
    def name(self) -> str:
        return files.name_of(self.spec)

    @property
    def fetchable(self) -> bool:
        return files.on_hub(self.spec)

    @property
    def how_to_get(self) -> str:
        return f"{self.name}: {files.how_to_get(self.spec)}"

    def present(self, cache: Path) -> bool:
        del cache
        return files.locate(self.spec) is not None

    def fetch(self, cache: Path, *, offline: bool, progress: Progress) -> None:
        del cache
        if offline:
            raise ResourceError(self.how_to_get)
        progress.notify(f"{self.name}: asking the hub")
        files.fetch(self.spec)


READ_AGAIN = ("prepare", "encoder")
"""What a training opens again, though a stage before it has: data, and encoders of libraries."""


def needs(stage: Stage, plan: Mapping[str, Stage]) -> tuple[Need, ...]:
    """The inputs of a stage of *plan* that no stage makes; training opens some of them again."""
    read = [stage.spec]
    below = [plan[each] for each in stage.inputs if each in plan]
    if stage.kind in ("train", "encoder"):
        read += [each.spec for each in below if each.kind in READ_AGAIN]
    made = [plan[each] for trained in below for each in trained.inputs]
    if stage.kind in ("sample", "probe"):  # latents are decoded
        read += [each.spec.autoencoder for each in made if each.kind == "encode"]
    if stage.kind == "probe":  # it may ask for whatever the training learned from
        read += [each.spec for each in (*below, *made) if each.kind in READ_AGAIN]
    found = {need.name: need for part in parts(read) if (need := _need(part))}
    return tuple(found.values())


def check_ready_made(reference: Any) -> None:
    """Hold reference statistics that come as a file to the digest that a spec gives them.

    Raises:
        IntegrityError: the file is damaged, or another one.
    """
    from repro.metrics.reference import read_reference

    match reference:
        case ShippedReference(name=name, digest=digest):
            read_reference(shipped_path(name), digest=digest)
        case FileReference(path=path, digest=digest):
            read_reference(Path(path), digest=digest)
        case _:
            pass  # made by its stage, from images that are held to a digest themselves


def parts(value: Any) -> Sequence[Any]:
    """A spec value and everything in it."""
    from attrs import fields, has

    if isinstance(value, Mapping):
        return [each for item in value.values() for each in parts(item)]
    if isinstance(value, tuple | list):
        return [each for item in value for each in parts(item)]
    if has(type(value)):
        inner = [each for one in fields(type(value)) for each in parts(getattr(value, one.name))]
        return [value, *inner]
    return [value]


def _need(part: Any) -> Need | None:
    need: Need | None = None
    match part:
        case Cifar10() | FashionMnist() | Stl10():
            need = ResourceNeed(name=part.kind)
        case ShippedReference(name=name):
            need = FileNeed(name=str(shipped_path(name)))
        case ImageNetFolder() | LibraryEncoder() | TorchvisionInception():
            need = PinnedNeed(spec=part)
        case ImageFolder() | TensorFile() | FileReference() | VectorTable():
            need = FileNeed(name=part.path)
        case AutoencoderKl():
            need = AutoencoderNeed(spec=part)
        case InceptionV3Compat(inception_weights="standard") | CompatAsTorchvision():
            need = ResourceNeed(name="inception")
        case _:
            pass
    return need
