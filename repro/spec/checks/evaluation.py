"""What protocol, evaluations, references and selection must agree on, with the training too."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from repro.spec.data import Dataset
from repro.spec.document import Spec
from repro.spec.evaluate import DatasetReference, Evaluate, Fid, InceptionV3Compat, Isc, Kid, Prc
from repro.spec.fields import NUM_SEEDS
from repro.spec.init import saved_steps
from repro.spec.layout import holds_latents, holds_points, layout
from repro.spec.objective import Denoise, Drifting, MaskedAutoencoding
from repro.spec.problems import KeyPath, Problem, choice, dotted, repeated
from repro.spec.sample import (
    AdjacentStrided,
    Ddim,
    Ddpm,
    DenoisingSampler,
    FromCheckpoint,
    FromDataset,
    MeanScaled,
    OneStep,
)
from repro.spec.train import num_checkpoints

VALUES: dict[type, tuple[str, ...]] = {
    Fid: ("fid",),
    Kid: ("kid",),
    Prc: ("precision", "recall"),
    Isc: ("isc",),
}
"""The values that a metric measures: what a selection may go by."""

MAX_CHECKPOINTS = 10_000
RGB = 3


def _protocol_is_there(spec: Spec) -> Iterator[Problem]:
    if spec.evaluate and spec.protocol is None:
        yield Problem(("protocol",), "missing, [[evaluate]] needs it", asked_by=("evaluate",))


def _protocol_is_consistent(spec: Spec) -> Iterator[Problem]:
    if spec.protocol is None:
        return
    yield from repeated([each.kind for each in spec.protocol.metrics], ("protocol", "metrics"))
    yield from _reference_holds_images(spec.protocol.reference, ("protocol", "reference"))


def _others_have_no_classes(spec: Spec) -> Iterator[Problem]:
    """An inception score needs the classes of the standard Inception."""
    if spec.protocol is None or not any(isinstance(each, Isc) for each in spec.protocol.metrics):
        return
    msg = "isc needs the classes of the standard Inception; remove the metric, or this extractor"
    if not isinstance(spec.protocol.extractor, InceptionV3Compat):
        yield Problem(("protocol", "extractor"), msg)
    for index, evaluate in enumerate(spec.evaluate):
        if not isinstance(evaluate.extractor, InceptionV3Compat | None):
            yield Problem(("evaluate", index, "extractor"), msg)


def _reference_is_made(spec: Spec) -> Iterator[Problem]:
    if spec.reference is None:
        return
    if not isinstance(spec.reference, DatasetReference):
        msg = f"{spec.reference.kind} is there already, expected dataset"
        yield Problem(("reference", "kind"), msg)
    yield from _reference_holds_images(spec.reference, ("reference",))


def _reference_holds_images(reference: Any, path: KeyPath) -> Iterator[Problem]:
    match reference:
        case DatasetReference(data=data, num_images=wanted):
            yield from _images_suffice(data, wanted or 0, path, field="num_images")
            yield from _reference_can_be_enlarged(reference, (*path, "enlarge_to"))
        case _:
            pass


def _reference_can_be_enlarged(reference: DatasetReference, path: KeyPath) -> Iterator[Problem]:
    shape, side = layout(reference.data), reference.enlarge_to
    if shape is None or side is None:
        return
    if shape.height != shape.width or shape.height > side or shape.channels != RGB:
        size = f"{shape.height} x {shape.width} x {shape.channels}"
        msg = f"enlarges square RGB images, but {reference.data.kind} is {size}; got {side}"
        yield Problem(path, msg)


def _own_references_hold_images(spec: Spec) -> Iterator[Problem]:
    for index, evaluate in enumerate(spec.evaluate):
        yield from _reference_holds_images(evaluate.reference, ("evaluate", index, "reference"))


def readers(spec: Spec) -> Iterator[tuple[KeyPath, Any]]:
    """Whatever has a name, reads checkpoints and may need samples: evaluations and probes."""
    for table in ("evaluate", "probe"):
        for index, reader in enumerate(getattr(spec, table)):
            yield (table, index), reader


def _names_differ(spec: Spec) -> Iterator[Problem]:
    seen: dict[str, KeyPath] = {}
    for path, reader in readers(spec):
        first = seen.setdefault(reader.name, path)
        if first != path:
            msg = f"{reader.name!r} is the name of {dotted(first)} already"
            yield Problem((*path, "name"), msg)


def _samples_can_be_made(spec: Spec) -> Iterator[Problem]:
    for reader_path, reader in readers(spec):
        path = (*reader_path, "sample")
        match getattr(reader, "sample", None):
            case FromCheckpoint() if spec.train is None:
                yield Problem(path, "needs a trained network, but there is no [train]")
            case FromCheckpoint() if isinstance(spec.objective, MaskedAutoencoding):
                msg = "the network restores images and makes none; expected a generator's spec"
                yield Problem(path, msg)
            case FromCheckpoint() if holds_points(spec.data):
                yield Problem(path, "the network makes points, expected one that makes images")
            case FromDataset(data=data, num_samples=wanted):
                yield from _images_suffice(data, wanted, path, field="num_samples")
            case _:
                pass


def _images_suffice(data: Dataset, wanted: int, path: KeyPath, *, field: str) -> Iterator[Problem]:
    shape = layout(data)
    if holds_points(data):
        yield Problem((*path, "data", "kind"), f"{data.kind} holds points, expected images")
    if holds_latents(data):
        msg = "latents are no images to measure; expected the images that they encode"
        yield Problem((*path, "data", "kind"), msg)
    if shape and wanted > shape.num_images:
        msg = f"expected at most {shape.num_images}, the images of {data.kind}, got {wanted}"
        yield Problem((*path, field), msg)


def _samplers_fit(spec: Spec) -> Iterator[Problem]:
    for reader_path, reader in readers(spec):
        sampler = getattr(getattr(reader, "sample", None), "sampler", None)
        path = (*reader_path, "sample", "sampler")
        match sampler, spec.objective:
            case OneStep(), Denoise():
                valid = _kinds(DenoisingSampler)
                msg = f"a denoise objective cannot use it, expected one of: {valid}"
                yield Problem((*path, "kind"), msg)
            case Ddpm() | Ddim() | AdjacentStrided() | MeanScaled(), Drifting():
                yield Problem((*path, "kind"), "a drifting objective needs one-step")
            case Ddpm() | Ddim() | AdjacentStrided(), Denoise(schedule=schedule):
                levels = getattr(schedule, "num_levels", sampler.steps)
                if sampler.steps > levels:
                    msg = f"expected at most num_levels = {levels}, got {sampler.steps}"
                    yield Problem((*path, "steps"), msg)
            case _:
                pass
        if holds_latents(spec.data) and getattr(sampler, "clip", False):
            msg = "bounds what is predicted to [-1, 1], which latents exceed; expected false"
            yield Problem((*path, "clip"), msg)


def _kinds(union: Any) -> str:
    return ", ".join(member.kind for member in union.__args__)


def _neighbours_suffice(spec: Spec) -> Iterator[Problem]:
    for metric in spec.protocol.metrics if spec.protocol else ():
        for index, evaluate in enumerate(spec.evaluate):
            least = _least_samples(metric)
            wanted = getattr(evaluate.sample, "num_samples", least)
            if wanted < least:
                msg = f"{metric.kind} needs at least {least}, got {wanted}"
                yield Problem(("evaluate", index, "sample", "num_samples"), msg)


def _least_samples(metric: Any) -> int:
    match metric:
        case Prc(neighbour=neighbour):
            return neighbour + 1
        case Isc(splits=splits):
            return splits
        case _:
            return 2


def _image_seeds_exist(spec: Spec) -> Iterator[Problem]:
    for path, reader in readers(spec):
        sample = getattr(reader, "sample", None)
        end = getattr(sample, "seed", 0) + getattr(sample, "num_samples", 0)
        if end > NUM_SEEDS:
            msg = (
                f"expected seed + num_samples of at most {NUM_SEEDS}, got {end}; a seed has 32 bits"
            )
            yield Problem((*path, "sample", "seed"), msg)


def _checkpoints_exist(spec: Spec) -> Iterator[Problem]:
    if spec.train is None:
        return
    if (num := num_checkpoints(spec.train)) > MAX_CHECKPOINTS:
        msg = f"leaves {num} checkpoints, expected at most {MAX_CHECKPOINTS}"
        yield Problem(("train", "checkpoint_every"), msg)
        return
    existing = saved_steps(spec)
    for path, reader in readers(spec):
        yield from _checkpoints_of(reader, existing, (*path, "checkpoints"))


def _checkpoints_of(reader: Any, existing: Sequence[int], path: KeyPath) -> Iterator[Problem]:
    wanted = reader.checkpoints
    if wanted is None:
        return
    sample = getattr(reader, "sample", None)
    if not isinstance(sample, FromCheckpoint | None):
        yield Problem(path, f"{sample.kind} samples come from no checkpoint; remove it")
        return
    said = [name for name in ("last", "steps", "every", "best_of") if getattr(wanted, name)]
    if len(said) > 1:
        yield Problem(
            path, f"expected one of last, steps, every and best_of; got {' and '.join(said)}"
        )
    if wanted.every and not any(step % wanted.every == 0 for step in existing):
        msg = f"no checkpoint at a multiple of {wanted.every}, expected {_listed(existing)}"
        yield Problem((*path, "every"), msg)
    if wanted.last > len(existing):
        msg = f"expected at most {len(existing)}, the checkpoints of [train], got {wanted.last}"
        yield Problem((*path, "last"), msg)
    yield from repeated(wanted.steps, (*path, "steps"))
    saved = frozenset(existing)
    for index, step in enumerate(wanted.steps):
        if step not in saved:
            valid = _listed(existing)
            yield Problem((*path, "steps", index), f"no checkpoint at {step}, expected {valid}")


def _choices_can_be_made(spec: Spec) -> Iterator[Problem]:
    above: dict[str, Evaluate] = {}
    for path, reader in readers(spec):
        if reader.checkpoints and (name := reader.checkpoints.best_of):
            place = (*path, "checkpoints", "best_of")
            if name not in above:
                yield Problem(place, f"no evaluation {name!r} further up, {choice(name, above)}")
            elif not isinstance(above[name].sample, FromCheckpoint):
                yield Problem(place, f"{name!r} reads no checkpoint that it could be the best of")
            yield from _is_measured(reader.checkpoints.by, spec, (*path, "checkpoints", "by"))
        if path[0] == "evaluate":
            above[reader.name] = reader


def _listed(steps: Sequence[int]) -> str:
    if len(steps) <= 8:  # noqa: PLR2004 - what fits on a line
        return f"one of: {', '.join(map(str, steps))}"
    return f"one of: {', '.join(map(str, steps[:3]))}, …, {steps[-1]}"


def _selection_is_fair(spec: Spec) -> Iterator[Problem]:
    if spec.select is None:
        return
    known = {evaluate.name: evaluate for evaluate in spec.evaluate}
    yield from repeated(spec.select.among, ("select", "among"))
    for index, name in enumerate(spec.select.among):
        if name not in known:
            msg = f"no evaluation {name!r}, {choice(name, known)}"
            yield Problem(("select", "among", index), msg)
    candidates = [known[name] for name in spec.select.among if name in known]
    for first, second in pairwise(candidates):
        yield from _comparable(first, second)


def _comparable(first: Evaluate, second: Evaluate) -> Iterator[Problem]:
    names = f"{first.name!r} and {second.name!r}"
    if (first.extractor, first.reference) != (second.extractor, second.reference):
        msg = f"{names} have different extractors or references: no common scale"
        yield Problem(("select", "among"), msg)
    counts = [getattr(each.sample, "num_samples", None) for each in (first, second)]
    if counts[0] != counts[1]:
        msg = f"{names} have {counts[0]} and {counts[1]} samples: no common scale"
        yield Problem(("select", "among"), msg)


def _selection_is_measured(spec: Spec) -> Iterator[Problem]:
    if spec.select:
        yield from _is_measured(spec.select.primary, spec, ("select", "primary"))


def _is_measured(rule: str, spec: Spec, path: KeyPath) -> Iterator[Problem]:
    if spec.protocol is None:
        return
    wanted = rule.partition(":")[0]
    kinds = [VALUES.get(type(metric), (metric.kind,)) for metric in spec.protocol.metrics]
    measured = [value for values in kinds for value in values]
    if wanted not in measured:
        msg = f"{wanted!r} is not in protocol.metrics, {choice(wanted, measured)}"
        yield Problem(path, msg)


CHECKS = (
    (("protocol", "evaluate"), _protocol_is_there),
    (("protocol",), _protocol_is_consistent),
    (("protocol", "evaluate"), _others_have_no_classes),
    (("reference",), _reference_is_made),
    (("evaluate",), _own_references_hold_images),
    (("evaluate", "probe"), _names_differ),
    (("data", "objective", "train", "evaluate", "probe"), _samples_can_be_made),
    (("data", "objective", "evaluate", "probe"), _samplers_fit),
    (("protocol", "evaluate"), _neighbours_suffice),
    (("evaluate", "probe"), _image_seeds_exist),
    (("train", "evaluate", "probe"), _checkpoints_exist),
    (("protocol", "evaluate", "probe"), _choices_can_be_made),
    (("evaluate", "select"), _selection_is_fair),
    (("protocol", "select"), _selection_is_measured),
)
