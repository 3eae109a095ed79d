"""What a spec resolves to: its stages, in an order in which they can run.

A stage's id is the digest of its part of the spec and of the ids it builds on, so equal work has
an equal id in every run. A name is for people and never in an id. Two evaluations of a spec that
ask for the same work are two stages with one id.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from attrs import evolve, field, frozen

from repro import digest
from repro.spec.autoencoder import TrainedAutoencoderKl
from repro.spec.data import Dataset, Latents
from repro.spec.document import SCHEMA, Spec
from repro.spec.edm import Edm, Heun, num_scales
from repro.spec.encoder import (
    Encoder,
    LibraryEncoder,
    PretrainedEncoder,
    SeveralEncoders,
    SingleEncoder,
    singles,
)
from repro.spec.evaluate import (
    Checkpoints,
    DatasetReference,
    Evaluate,
    Extractor,
    InceptionV3Compat,
    Metric,
    Reference,
    Select,
)
from repro.spec.fields import ADDED
from repro.spec.identity import identity_data
from repro.spec.init import Mode, saved_steps
from repro.spec.map_keys import MapKeys
from repro.spec.network import Network
from repro.spec.objective import Denoise, MaskedAutoencoding, NoiseSchedule, Objective
from repro.spec.path import Cheapest
from repro.spec.probe import Probe
from repro.spec.sample import (
    DenoisingSampler,
    FromCheckpoint,
    FromDataset,
    OneStep,
    SampleSet,
)
from repro.spec.train import Train

StageKind = Literal[
    "reference",
    "prepare",
    "encode",
    "encoder",
    "train",
    "export",
    "calibrate",
    "sample",
    "evaluate",
    "select",
    "probe",
]


@frozen(kw_only=True)
class EncoderKeys:
    """What samples are compared by of an encoder: of one whose stages do not tell it, the maps."""

    name: str
    features: tuple[MapKeys, ...] = ()
    norm_x: bool = False


@frozen(kw_only=True)
class Beginning:
    """How much of the checkpoint after `checkpoint` updates a training begins with."""

    mode: Mode
    checkpoint: int


@frozen(kw_only=True)
class Training:
    """The part of a spec that decides the weights, given the stages below.

    `encoders` are the keys of each encoder, in the order of the stages that leave them. One that
    stands alone and tells its keys itself is left out. `init` is what it begins with of the last
    stage below.
    """

    network: Network
    objective: Objective
    train: Train
    encoders: tuple[EncoderKeys, ...] = field(default=(), metadata={ADDED: True})
    init: Beginning | None = field(default=None, metadata={ADDED: True})


@frozen(kw_only=True)
class Export:
    """The averaged weights of a trained network's encoder, without the parts that trained it."""

    network: Network


@frozen(kw_only=True)
class Instrument:
    """A sampler on the noise schedule that it was trained for."""

    sampler: DenoisingSampler
    schedule: NoiseSchedule


@frozen(kw_only=True)
class ScalesInstrument:
    """A sampler that steps down a level for each of several scales."""

    sampler: Heun
    num_scales: int


@frozen(kw_only=True)
class OwnInstrument:
    """A sampler that an installed package brings, on the objective of the network it samples."""

    sampler: Any
    objective: Objective


@frozen(kw_only=True)
class Sampling:
    """A set of images; of a trained network, after `checkpoint` updates."""

    sample: SampleSet
    checkpoint: int | None = None


@frozen(kw_only=True)
class Statistics:
    """A reference; `extractor` makes it, unless it comes ready-made."""

    reference: Reference
    extractor: Extractor | None = None


@frozen(kw_only=True)
class Evaluation:
    """What is measured on one set of images, and by what."""

    extractor: Extractor
    metrics: tuple[Metric, ...]


@frozen(kw_only=True)
class Selection:
    """The rule of a choice among evaluations."""

    primary: str


@frozen(kw_only=True)
class Probing:
    """A question; put to a trained network, it is asked of it after `checkpoint` updates."""

    probe: Probe
    checkpoint: int | None = None


@frozen(kw_only=True)
class Stage:
    """A node of the plan. `inputs` are the ids it builds on, `payload` the data of its id.

    `spec` is its part of the spec: a `Training`, a `Sampling`, a data set, ... as `kind` says.
    """

    kind: StageKind
    name: str
    stage_id: str
    inputs: tuple[str, ...]
    payload: Mapping[str, Any] = field(repr=False)
    spec: Any


def stages(spec: Spec) -> tuple[Stage, ...]:
    """The stages of a spec, each after those it builds on."""
    return tuple(_distinct(_stages(spec)))


def evaluated_steps(evaluate: Evaluate, spec: Spec) -> tuple[int | None, ...]:
    """The checkpoints that an evaluation reads, by default the final one.

    None stands for no checkpoint, and for one that is chosen when its candidates are measured.
    """
    if spec.train is None or not isinstance(evaluate.sample, FromCheckpoint):
        return (None,)
    return _steps_of(evaluate.checkpoints or Checkpoints(), saved_steps(spec))


def probed_steps(probe: Probe, spec: Spec) -> tuple[int | None, ...]:
    """The checkpoints that a probe is put to; none if it looks at images that no network made."""
    sample = getattr(probe, "sample", None)
    asks = getattr(probe, "asks_network", True)
    if spec.train is None or not asks or not isinstance(sample, FromCheckpoint | None):
        return (None,)
    return _steps_of(probe.checkpoints or Checkpoints(), saved_steps(spec))


def _steps_of(wanted: Checkpoints, existing: tuple[int, ...]) -> tuple[int | None, ...]:
    if wanted.best_of:
        return (None,)
    if wanted.every:
        return tuple(step for step in existing if step % wanted.every == 0)
    return wanted.steps or existing[-(wanted.last or 1) :]


def _distinct(all_stages: Iterable[Stage]) -> Iterator[Stage]:
    seen = set()
    for stage in all_stages:
        key = (stage.stage_id, stage.name if stage.kind in ("evaluate", "probe") else None)
        if key not in seen:
            seen.add(key)
            yield stage


def _stages(spec: Spec) -> Iterator[Stage]:
    training = tuple(_training(spec))
    yield from training
    extractor = spec.protocol.extractor if spec.protocol else InceptionV3Compat()
    if spec.reference:
        yield from _reference(spec.reference, extractor)
    evaluations: dict[str, list[Stage]] = {}
    for evaluate in spec.evaluate:
        chosen = _choice(evaluate, evaluations)
        branch = (*chosen, *_evaluation(spec, evaluate, (*training, *chosen)))
        yield from branch
        evaluations[evaluate.name] = [stage for stage in branch if stage.kind == "evaluate"]
    if spec.select:
        yield _selection(spec.select, evaluations)
    for probe in spec.probe:
        chosen = _choice(probe, evaluations)
        yield from (*chosen, *_probe(spec, probe, (*training, *chosen)))


def _training(spec: Spec) -> Iterator[Stage]:
    if not (spec.data and spec.network and spec.objective and spec.train):
        return
    *before, data = _data(spec.data)
    inputs = [data]
    yield from (*before, data)
    for _, _, each in singles(spec.encoder):
        *before, encoder = _encoder(each, data)
        yield from (*before, encoder)
        inputs.append(encoder)
    if spec.init:
        below = tuple(_training(spec.init.run))
        yield from below
        inputs.append(trained_stage(below))
    part = Training(
        network=spec.network,
        objective=spec.objective,
        train=spec.train,
        encoders=_encoder_keys(spec.encoder),
        init=Beginning(mode=spec.init.mode, checkpoint=spec.init.step) if spec.init else None,
    )
    yield (trained := _stage("train", part, inputs, name=spec.objective.kind))
    if isinstance(spec.objective, MaskedAutoencoding):
        yield _stage("export", Export(network=spec.network), [trained], name=spec.network.kind)


def _encoder(encoder: SingleEncoder, data: Stage) -> Iterator[Stage]:
    """The stages of an encoder; the last leaves it."""
    match encoder:
        case PretrainedEncoder(run=run):
            yield from _training(run)
        case LibraryEncoder():
            yield _stage("encoder", encoder, [], name=encoder.model or encoder.library)
        case _:
            yield _stage("encoder", encoder, [data], name=encoder.kind)


def _encoder_keys(encoder: Encoder | None) -> tuple[EncoderKeys, ...]:
    if not isinstance(encoder, SeveralEncoders | PretrainedEncoder):
        return ()
    return tuple(
        EncoderKeys(name=name, features=each.features, norm_x=each.norm_x)
        if isinstance(each, PretrainedEncoder)
        else EncoderKeys(name=name)
        for _, name, each in singles(encoder)
    )


def _evaluation(spec: Spec, evaluate: Evaluate, training: tuple[Stage, ...]) -> Iterator[Stage]:
    if spec.protocol is None:
        return
    extractor = evaluate.extractor or spec.protocol.extractor
    *before, reference = _reference(evaluate.reference or spec.protocol.reference, extractor)
    yield from (*before, reference)
    part = Evaluation(extractor=extractor, metrics=spec.protocol.metrics)
    steps = evaluated_steps(evaluate, spec)
    for step in steps:
        name = evaluate.name if len(steps) == 1 else f"{evaluate.name}@{step}"
        *before, sample = _sample(spec, evaluate.sample, step, training=training, name=name)
        yield from (*before, sample)
        yield _stage("evaluate", part, [sample, reference], name=name)


def _probe(spec: Spec, probe: Probe, training: tuple[Stage, ...]) -> Iterator[Stage]:
    """The stages of a probe at each of its checkpoints; what it asks is the same at all of them."""
    question = evolve(probe, name=probe.kind, checkpoints=None)
    steps = probed_steps(probe, spec)
    for step in steps:
        name = probe.name if len(steps) == 1 else f"{probe.name}@{step}"
        inputs = _network(training) if step is not None or _chosen(training) else []
        if sample := getattr(probe, "sample", None):
            *before, sampled = _sample(spec, sample, step, training=training, name=name)
            yield from (*before, sampled)
            inputs.append(sampled)
        if data := getattr(probe, "data", None):
            inputs.append(_prepare(data))
            yield inputs[-1]
        if judge := getattr(probe, "judge", None):
            yield (prepared := _prepare(_images(spec.data)))
            inputs.append(_stage("encoder", judge, [prepared], name="judge"))
            yield inputs[-1]
        yield _stage("probe", Probing(probe=question, checkpoint=step), inputs, name=name)


def _images(data: Any) -> Any:
    """The images of a data set: those behind its latents, or itself."""
    return data.images if isinstance(data, Latents) else data


def _choice(reader: Evaluate | Probe, evaluations: Mapping[str, list[Stage]]) -> tuple[Stage, ...]:
    """The stage that chooses the checkpoint which is read, if it is not named."""
    wanted = reader.checkpoints
    if wanted is None or not wanted.best_of:
        return ()
    candidates = evaluations[wanted.best_of]
    return (_stage("select", Selection(primary=wanted.by), candidates, name=wanted.by),)


def _network(training: tuple[Stage, ...]) -> list[Stage]:
    """Where a network comes from: its training, and what chose the checkpoint if none is named."""
    return [trained_stage(training), *_chosen(training)]


def _chosen(training: tuple[Stage, ...]) -> tuple[Stage, ...]:
    return tuple(stage for stage in training if stage.kind == "select")


def trained_stage(training: tuple[Stage, ...]) -> Stage:
    """The training of the spec itself; those of encoders come before it."""
    return next(stage for stage in reversed(training) if stage.kind == "train")


def _reference(reference: Reference, extractor: Extractor) -> Iterator[Stage]:
    if isinstance(reference, DatasetReference):
        prepared = _prepare(reference.data)
        yield prepared
        part = Statistics(reference=reference, extractor=extractor)
        yield _stage("reference", part, [prepared], name=prepared.name)
    else:
        yield _stage("reference", Statistics(reference=reference), [], name=reference.kind)


def _sample(
    spec: Spec, sample: SampleSet, step: int | None, *, training: tuple[Stage, ...], name: str
) -> Iterator[Stage]:
    inputs: list[Stage] = []
    match sample:
        case FromCheckpoint(sampler=sampler):
            inputs += _network(training)
            sample, heatmap = _with_heatmap(spec, sample, step, training=training)
            yield from heatmap
            if part := _instrument(spec.objective, sample.sampler):
                inputs.append(_stage("calibrate", part, heatmap, name=sampler.kind))
                yield inputs[-1]
            inputs.extend(heatmap)
        case FromDataset(data=data):
            inputs.append(_prepare(data))
            yield inputs[-1]
        case _:
            pass
    yield _stage("sample", Sampling(sample=sample, checkpoint=step), inputs, name=name)


def _with_heatmap(
    spec: Spec, sample: FromCheckpoint, step: int | None, *, training: tuple[Stage, ...]
) -> tuple[FromCheckpoint, tuple[Stage, ...]]:
    """The samples and, if their path goes over a heatmap, the probe that measures it.

    The name that finds the probe is for people: the kind stands for it in the id.
    """
    match sample.sampler:
        case Heun(path=Cheapest(heatmap=wanted) as path):
            probe = next(each for each in spec.probe if each.name == wanted)
            unnamed = evolve(sample.sampler, path=evolve(path, heatmap=probe.kind))
            own = probed_steps(probe, spec)
            asked = evolve(probe, checkpoints=None if step is None else Checkpoints(steps=(step,)))
            *_, stage = _probe(spec, asked, training)
            named = stage if own == (step,) else evolve(stage, name=f"{probe.name}@{step}")
            return evolve(sample, sampler=unnamed), (named,)
        case _:
            return sample, ()


def _instrument(
    objective: Any, sampler: Any
) -> Instrument | ScalesInstrument | OwnInstrument | None:
    """What must be calibrated before it samples."""
    match objective, sampler:
        case Denoise(schedule=schedule), sampler if not isinstance(sampler, OneStep):
            return Instrument(sampler=sampler, schedule=schedule)
        case Edm(codec=codec), Heun():
            return ScalesInstrument(sampler=sampler, num_scales=num_scales(codec))
        case _ if hasattr(sampler, "allow_biased"):
            return OwnInstrument(sampler=sampler, objective=objective)
        case _:
            return None


def _data(data: Dataset) -> Iterator[Stage]:
    """What makes the data of a training; the last stage has them."""
    if not isinstance(data, Latents):
        yield _prepare(data)
        return
    prepared = _prepare(data.images)
    yield prepared
    if isinstance(data.autoencoder, TrainedAutoencoderKl):
        below = tuple(_training(data.autoencoder.run))
        yield from below
        coder = TrainedAutoencoderKl(run=_only_training(data.autoencoder.run))
        part = evolve(data, autoencoder=coder)
        inputs = [prepared, trained_stage(below)]
        yield _stage("encode", part, inputs, name=f"{prepared.name}-latents")
    else:
        yield _stage("encode", data, [prepared], name=f"{prepared.name}-latents")


def _only_training(run: Spec) -> Spec:
    """A run without what it measures, which decides nothing about what builds on its weights."""
    return evolve(run, protocol=None, evaluate=(), select=None, reference=None, probe=())


def _prepare(data: Dataset) -> Stage:
    split = getattr(data, "split", None)
    return _stage("prepare", data, [], name=f"{data.kind}-{split}" if split else data.kind)


def _selection(select: Select, evaluations: Mapping[str, list[Stage]]) -> Stage:
    candidates = [stage for name in select.among for stage in evaluations[name]]
    return _stage("select", Selection(primary=select.primary), candidates, name=select.primary)


def _stage(kind: StageKind, part: Any, inputs: Iterable[Stage], *, name: str) -> Stage:
    payload = identity_data(part)
    ids = tuple(stage.stage_id for stage in inputs)
    named = {"schema": SCHEMA, "stage": kind, "spec": payload, "inputs": ids}
    return Stage(
        kind=kind,
        name=name,
        stage_id=digest.xxh3_128(digest.canonical(named)),
        inputs=ids,
        payload=payload,
        spec=part,
    )
