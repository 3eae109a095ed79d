"""What a look at a denoiser must agree on with its training and its evaluations."""

from collections.abc import Iterator
from typing import Any

from repro.spec.conditional import ConditionalNetwork, classes_told
from repro.spec.document import Spec
from repro.spec.kl import KlAutoencoding
from repro.spec.layout import layout
from repro.spec.objective import Denoise, Drifting, MaskedAutoencoding
from repro.spec.probes.denoising import (
    CallCost,
    ClassGrid,
    ConditionMap,
    DenoisingCollage,
    LabelSensitivity,
    Reconstruction,
)
from repro.spec.problems import Problem
from repro.spec.sample import Ddim, Ddpm, FromCheckpoint, MeanScaled

SHOWING = DenoisingCollage | ClassGrid | Reconstruction
LEVELLED = DenoisingCollage | Reconstruction | LabelSensitivity
HEARING = LabelSensitivity | ConditionMap
NO_DENOISERS = Drifting | KlAutoencoding | MaskedAutoencoding


def _levels_exist(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if not isinstance(probe, LEVELLED):
            continue
        match spec.objective:
            case Denoise(schedule=schedule):
                for place, level in enumerate(probe.levels):
                    if level >= schedule.num_levels:
                        msg = f"expected less than num_levels = {schedule.num_levels}, got {level}"
                        yield Problem(("probe", index, "levels", place), msg)
            case None:
                pass
            case other:
                msg = f"looks at levels of noise, which {other.kind} has none of; expected denoise"
                yield Problem(("probe", index, "kind"), msg)


def _a_call_is_that_of_a_denoiser(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if isinstance(probe, CallCost) and isinstance(spec.objective, NO_DENOISERS):
            msg = f"asks what a call of a denoiser costs, got {spec.objective.kind}"
            yield Problem(("probe", index, "kind"), f"{msg}; expected denoise or edm")


def _a_condition_is_there(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        network: Any = spec.network
        if not isinstance(probe, HEARING) or network is None:
            continue
        if not isinstance(network, ConditionalNetwork):
            msg = f"asks what a network is told, but {network.kind} takes no labels"
            yield Problem(("probe", index, "kind"), msg)
        elif isinstance(probe, ConditionMap):
            rows = classes_told(network.condition) + 1
            if probe.perplexity >= rows:
                msg = f"expected less than the {rows} vectors of the table, got {probe.perplexity}"
                yield Problem(("probe", index, "perplexity"), msg)


def _a_network_makes_what_is_shown(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if isinstance(probe, DenoisingCollage | Reconstruction):
            sample: Any = probe.sample
            if not isinstance(sample, FromCheckpoint):
                msg = f"looks at how a network samples; expected checkpoint, got {sample.kind}"
                yield Problem(("probe", index, "sample", "kind"), msg)


def _what_is_shown_is_what_is_measured(spec: Spec) -> Iterator[Problem]:
    """A monitor with a sampler or guidance of its own shows other images than those judged."""
    judged = [each.sample for each in spec.evaluate if isinstance(each.sample, FromCheckpoint)]
    ways = [_way(each) for each in judged]
    for index, probe in enumerate(spec.probe):
        if not isinstance(probe, SHOWING) or not isinstance(probe.sample, FromCheckpoint):
            continue
        if ways and _way(probe.sample) not in ways:
            names = ", ".join(
                each.name for each in spec.evaluate if isinstance(each.sample, FromCheckpoint)
            )
            msg = "samples in a way that no evaluation does; expected sampler, guidance, weights"
            yield Problem(("probe", index, "sample"), f"{msg} and quantisation of one of: {names}")


def _way(sample: FromCheckpoint) -> tuple[Any, ...]:
    return sample.sampler, sample.guidance, sample.weights, sample.quantisation


def _ways_back_are_known(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        match probe:
            case Reconstruction(sample=FromCheckpoint(sampler=Ddpm() | Ddim() | MeanScaled())):
                pass
            case Reconstruction(sample=FromCheckpoint(sampler=other)):
                msg = f"{other.kind} starts from pure noise only"
                valid = ", ".join(each.kind for each in (Ddpm, Ddim, MeanScaled))
                yield Problem(
                    ("probe", index, "sample", "sampler", "kind"),
                    f"{msg}; expected one of: {valid}",
                )
            case _:
                pass


def _images_to_restore_exist(spec: Spec) -> Iterator[Problem]:
    shape = layout(spec.data) if spec.data else None
    for index, probe in enumerate(spec.probe):
        wanted = getattr(probe, "num_images", 0)
        if isinstance(probe, LEVELLED) and shape and wanted > shape.num_images:
            msg = f"expected at most {shape.num_images}, the images of the data, got {wanted}"
            yield Problem(("probe", index, "num_images"), msg)


CHECKS = (
    (("objective", "probe"), _levels_exist),
    (("objective", "probe"), _a_call_is_that_of_a_denoiser),
    (("network", "probe"), _a_condition_is_there),
    (("probe",), _a_network_makes_what_is_shown),
    (("evaluate", "probe"), _what_is_shown_is_what_is_measured),
    (("probe",), _ways_back_are_known),
    (("data", "probe"), _images_to_restore_exist),
)
