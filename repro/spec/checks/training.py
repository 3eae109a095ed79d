"""What the tables of a training must agree on: data, network, encoder, objective, train."""

import math
from collections.abc import Iterator
from typing import Any

from repro.spec.data import Dataset
from repro.spec.document import Spec
from repro.spec.edm import UNet2DSigma
from repro.spec.layout import (
    Layout,
    doublings,
    holds_latents,
    holds_points,
    layout,
    unfit_patches,
)
from repro.spec.network import ConvGenerator, Dit, Mae, Mlp, UNet2D
from repro.spec.objective import (
    ClassifierTuning,
    Denoise,
    DriftField,
    Drifting,
    FixedAlpha,
    LinearSchedule,
    MaskedAutoencoding,
    PowerLawAlpha,
    TableAlpha,
    num_candidates,
)
from repro.spec.problems import Problem, dotted, repeated
from repro.spec.reals import Banks, NoQueue
from repro.spec.unet_cifar32 import SIDE_DIVISOR, UNetCifar32

TRAINING = ("data", "network", "objective", "train")
Denoiser = UNet2D | UNetCifar32


def _training_is_whole(spec: Spec) -> Iterator[Problem]:
    present = [name for name in (*TRAINING, "encoder") if getattr(spec, name) is not None]
    for name in TRAINING:
        if present and name not in present:
            msg = f"missing, [{present[0]}] needs it"
            yield Problem((name,), msg, asked_by=(present[0],))


def _network_fits_data(spec: Spec) -> Iterator[Problem]:
    if spec.data is None or spec.network is None:
        return
    if holds_points(spec.data) and isinstance(spec.network, ConvGenerator | Dit | Mae | Denoiser):
        yield Problem(("network",), f"makes images, but {spec.data.kind} holds points; use mlp")
    if layout(spec.data) and isinstance(spec.network, Mlp):
        yield Problem(("network",), f"makes points, but {spec.data.kind} holds images")
    if shape := layout(spec.data):
        yield from _network_fits_images(spec.network, shape, spec.data)


def _network_fits_images(network: Any, shape: Layout, data: Dataset) -> Iterator[Problem]:
    size = f"{data.kind} is {shape.height} x {shape.width}"
    match network:
        case ConvGenerator(channels=channels):
            if doublings(channels) > min(shape.height, shape.width):
                msg = f"{len(channels)} entries double the sides too often: {size}"
                yield Problem(("network", "channels"), msg)
            yield from _network_knows_classes(network, shape, data)
        case Dit(patch_size=side):
            if shape.height % side or shape.width % side:
                msg = f"patches of {side} x {side} must tile the image, but {size}"
                yield Problem(("network", "patch_size"), msg)
            yield from _network_knows_classes(network, shape, data)
        case UNet2D(channels=channels) if not _halves(shape, doublings(channels)):
            entries = f"{len(channels)} entries need sides divisible by {doublings(channels)}"
            yield Problem(("network", "channels"), f"{entries}, but {size}")
        case UNetCifar32() if not _halves(shape, SIDE_DIVISOR):
            msg = f"unet-cifar32 needs sides divisible by {SIDE_DIVISOR}, but {size}"
            yield Problem(("network", "kind"), msg)
        case _:
            pass


def _halves(shape: Layout, factor: int) -> bool:
    return not (shape.height % factor or shape.width % factor)


def _network_knows_classes(network: Any, shape: Layout, data: Dataset) -> Iterator[Problem]:
    if network.num_classes != shape.num_classes:
        msg = f"expected {shape.num_classes}, the classes of {data.kind}"
        yield Problem(("network", "num_classes"), f"{msg}, got {network.num_classes}")


def _unet_is_consistent(spec: Spec) -> Iterator[Problem]:
    match spec.network:
        case (
            UNet2D(channels=channels, attention=attention, norm_groups=groups)
            | UNet2DSigma(channels=channels, attention=attention, norm_groups=groups)
        ):
            if len(attention) != len(channels):
                msg = f"expected {len(channels)} entries, one a width, got {len(attention)}"
                yield Problem(("network", "attention"), msg)
            for index, width in enumerate(channels):
                if width % groups:
                    msg = f"expected a multiple of norm_groups = {groups}, got {width}"
                    yield Problem(("network", "channels", index), msg)
        case _:
            pass


def _network_fits_objective(spec: Spec) -> Iterator[Problem]:
    match spec.network, spec.objective:
        case ConvGenerator() | Dit() | Mlp(), Denoise():
            yield Problem(("network", "kind"), "denoise needs a denoiser; expected unet2d")
        case UNet2D() | UNetCifar32() | Mae(), Drifting():
            msg = "drifting needs a generator; expected conv-generator, dit or mlp"
            yield Problem(("network", "kind"), msg)
        case Mae(), Denoise():
            yield Problem(("network", "kind"), "denoise needs a denoiser; expected unet2d")
        case ConvGenerator() | Dit() | Mlp() | UNet2D() | UNetCifar32(), MaskedAutoencoding():
            yield Problem(("network", "kind"), "masked-autoencoding needs an autoencoder: mae")
        case Mae() as mae, MaskedAutoencoding() as objective:
            yield from _classifier_is_tuned(mae, objective)
        case _:
            pass


def _classifier_is_tuned(mae: Mae, objective: MaskedAutoencoding) -> Iterator[Problem]:
    if objective.classify and not mae.num_classes:
        msg = "[objective.classify] tunes a classifier, expected the number of classes, got 0"
        yield Problem(("network", "num_classes"), msg)
    if mae.num_classes and not objective.classify:
        msg = "nothing trains the classifier; expected 0, or a table [objective.classify]"
        yield Problem(("network", "num_classes"), msg)


def _autoencoder_fits_data(spec: Spec) -> Iterator[Problem]:
    shape = layout(spec.data) if spec.data else None
    if spec.data is None or shape is None or not isinstance(mae := spec.network, Mae):
        return
    if mistake := unfit_patches(mae.patch, shape):
        msg = f"{mistake}: {spec.data.kind} is {shape.height} x {shape.width}"
        yield Problem(("network", "patch"), msg)
    if 0 < mae.num_classes < shape.num_classes:
        msg = f"expected at least {shape.num_classes}, the classes of the data"
        yield Problem(("network", "num_classes"), f"{msg}, got {mae.num_classes}")
    side = getattr(spec.objective, "mask_patch", 1) * mae.patch
    if shape.height % side or shape.width % side:
        msg = f"hidden patches are {side} pixels a side, which do not divide"
        yield Problem(("objective", "mask_patch"), f"{msg} {shape.height} x {shape.width}")


def _tuning_begins(spec: Spec) -> Iterator[Problem]:
    match spec.objective:
        case MaskedAutoencoding(classify=ClassifierTuning(first_step=first_step)):
            if spec.train and first_step >= spec.train.steps:
                msg = f"expected less than train.steps = {spec.train.steps}, got {first_step}"
                yield Problem(("objective", "classify", "first_step"), msg)
        case _:
            pass


def _objective_fits_data(spec: Spec) -> Iterator[Problem]:
    match spec.objective:
        case Denoise() | MaskedAutoencoding() if holds_points(spec.data):
            msg = f"{spec.objective.kind} needs images, expected drifting"
            yield Problem(("objective", "kind"), msg)
        case MaskedAutoencoding() as objective if holds_latents(spec.data):
            yield from _latents_are_taken_as_encoded(objective)
        case Drifting() as drifting:
            yield from _drifting_fits_data(drifting, spec.data)
            if holds_latents(spec.data):
                yield from _latents_are_taken_as_encoded(drifting)
        case _:
            pass


def _latents_are_taken_as_encoded(objective: Drifting | MaskedAutoencoding) -> Iterator[Problem]:
    if objective.least_area < 1:
        msg = f"latents are not cropped, expected 1, got {objective.least_area}"
        yield Problem(("objective", "least_area"), msg)
    if objective.flip:
        msg = "images are mirrored before they are encoded (data.flips), expected false"
        yield Problem(("objective", "flip"), msg)


def _drifting_fits_data(drifting: Drifting, data: Dataset | None) -> Iterator[Problem]:
    shape = layout(data) if data else None
    if not holds_points(data) and shape is None:
        return
    num_classes = shape.num_classes if shape else 1
    if drifting.num_classes_per_step > num_classes:
        msg = f"expected at most {num_classes}, the classes of the data"
        yield Problem(
            ("objective", "num_classes_per_step"), f"{msg}, got {drifting.num_classes_per_step}"
        )
    if holds_points(data):
        yield from _points_are_of_one_class(drifting)
        yield from _points_are_drawn_afresh(drifting)


def _points_are_of_one_class(drifting: Drifting) -> Iterator[Problem]:
    if drifting.num_unconditional:
        msg = "points have no classes to be unconditional of; expected 0"
        path = ("objective", "num_unconditional")
        yield Problem(path, f"{msg}, got {drifting.num_unconditional}")
    if drifting.alpha != FixedAlpha(value=1.0):
        msg = 'points have no classes to guide by; expected { kind = "fixed", value = 1.0 }'
        yield Problem(("objective", "alpha"), msg)


def _points_are_drawn_afresh(drifting: Drifting) -> Iterator[Problem]:
    if drifting.queue != NoQueue():
        msg = 'points are drawn afresh; expected { kind = "none" }'
        yield Problem(("objective", "queue"), msg)
    if drifting.nearest_positives:
        msg = "points are drawn afresh; expected no choice among them"
        yield Problem(("objective", "nearest_positives"), msg)
    if drifting.least_area < 1:
        msg = f"points are not cropped, expected 1, got {drifting.least_area}"
        yield Problem(("objective", "least_area"), msg)
    if drifting.flip:
        yield Problem(("objective", "flip"), "points have no mirror images, expected false")


def _objective_is_consistent(spec: Spec) -> Iterator[Problem]:
    match spec.objective:
        case Drifting() as drifting:
            yield from _alpha_is_a_law(drifting.alpha)
            yield from _field_has_its_parts(drifting)
            yield from _nearest_positives_are_a_choice(drifting)
            yield from _banks_hold_a_step(drifting)
            yield from repeated(drifting.features, ("objective", "features"))
            yield from repeated(drifting.temperatures, ("objective", "temperatures"))
            if not drifting.num_unconditional and _highest_alpha(drifting.alpha) > 1:
                msg = "alpha above 1 weighs unconditional samples, expected at least 1, got 0"
                yield Problem(("objective", "num_unconditional"), msg)
        case Denoise(schedule=LinearSchedule(beta_start=start, beta_end=end)):
            if not start < end < 1:
                msg = f"expected beta_start < beta_end < 1, got {start} and {end}"
                yield Problem(("objective", "schedule", "beta_end"), msg)
        case _:
            pass


def _alpha_is_a_law(alpha: Any) -> Iterator[Problem]:
    path = ("objective", "alpha")
    match alpha:
        case PowerLawAlpha(low=low, high=high) if low > high:
            yield Problem((*path, "high"), f"expected at least low = {low}, got {high}")
        case TableAlpha(values=values, probabilities=probabilities):
            if len(probabilities) != len(values):
                msg = f"expected {len(values)} entries, one a value, got {len(probabilities)}"
                yield Problem((*path, "probabilities"), msg)
            if not math.isclose(total := math.fsum(probabilities), 1, abs_tol=1e-9):
                yield Problem((*path, "probabilities"), f"expected a sum of 1, got {total:.9g}")
            yield from repeated(values, (*path, "values"))
        case _:
            pass


def _field_has_its_parts(field: DriftField) -> Iterator[Problem]:
    """A choice about what is not there would give one field two ids."""
    if field.normalized_over == "none" and field.coupling != "joint":
        msg = 'affinities are normalized over "none", so nothing couples targets; expected joint'
        yield Problem(("objective", "coupling"), f"{msg}, got {field.coupling}")
    if field.normalized_over == "none" and field.weights_enter != "affinity":
        msg = 'affinities are normalized over "none", where both are one; expected affinity'
        yield Problem(("objective", "weights_enter"), f"{msg}, got {field.weights_enter}")
    if isinstance(field, Drifting) and field.pixels_rule and "pixels" not in field.features:
        msg = 'nothing drifts in the pixels; name "pixels" in objective.features, or leave it out'
        yield Problem(("objective", "pixels_rule"), msg)
    if isinstance(field, Drifting) and field.pixels_rule == field.rule:
        msg = "is that of every key; expected another rule, or nothing"
        yield Problem(("objective", "pixels_rule"), msg)
    if not field.attraction and not field.repulsion:
        msg = "nothing drifts with neither attraction nor repulsion; expected a number above 0"
        yield Problem(("objective", "attraction"), f"{msg}, got {field.attraction}")


def _nearest_positives_are_a_choice(drifting: Drifting) -> Iterator[Problem]:
    if not (rule := drifting.nearest_positives):
        return
    path = ("objective", "nearest_positives")
    if rule.num_candidates <= drifting.num_positive:
        msg = f"expected more than objective.num_positive = {drifting.num_positive} to choose from"
        yield Problem((*path, "num_candidates"), f"{msg}, got {rule.num_candidates}")
    if rule.num_random >= drifting.num_positive:
        msg = f"expected fewer than objective.num_positive = {drifting.num_positive}"
        yield Problem((*path, "num_random"), f"{msg}, got {rule.num_random}")
    space = "pixels" if rule.feature == "pixels" else "encoder"
    if space not in drifting.features:
        msg = f'nearest_positives compares by {rule.feature!r}; expected "{space}" among them'
        yield Problem(("objective", "features"), msg)


def _banks_hold_a_step(drifting: Drifting) -> Iterator[Problem]:
    match drifting.queue:
        case Banks() as banks:
            path = ("objective", "queue")
            own = num_candidates(drifting)
            if banks.class_size < own:
                msg = f"expected at least {own}, what a step draws of a class"
                yield Problem((*path, "class_size"), f"{msg}, got {banks.class_size}")
            if banks.global_size < drifting.num_unconditional:
                msg = (
                    f"expected at least objective.num_unconditional = {drifting.num_unconditional}"
                )
                yield Problem((*path, "global_size"), f"{msg}, got {banks.global_size}")
            if banks.labels == "pushed" and banks.pushes_per_step < drifting.num_classes_per_step:
                msg = "a step's classes are of what it pushes; expected at least "
                msg += f"objective.num_classes_per_step = {drifting.num_classes_per_step}"
                yield Problem((*path, "pushes_per_step"), f"{msg}, got {banks.pushes_per_step}")
            if not banks.prefilled:
                yield from _empty_banks_begin(drifting, banks)
        case _:
            pass


def _empty_banks_begin(drifting: Drifting, banks: Banks) -> Iterator[Problem]:
    """Whether the first step can find in its own pushes what it must; later ones find more."""
    num_classes = drifting.num_classes_per_step if banks.labels == "distinct" else 1
    of_each = num_candidates(drifting) if banks.underflow == "error" else 1
    of_any = drifting.num_unconditional if banks.underflow == "error" else 1
    least = max(num_classes * of_each, of_any)
    if banks.pushes_per_step < least:
        msg = f"the banks begin empty and the first step draws from {least} examples at the least"
        msg += "; expected as many, or prefilled = true"
        path = ("objective", "queue", "pushes_per_step")
        yield Problem(path, f"{msg}, got {banks.pushes_per_step}")


def _highest_alpha(alpha: Any) -> float:
    match alpha:
        case FixedAlpha(value=value):
            return value
        case PowerLawAlpha(high=high):
            return high
        case TableAlpha(values=values):
            return max(values)
        case _:
            return 1.0


def _encoder_is_used(spec: Spec) -> Iterator[Problem]:
    wanted = isinstance(spec.objective, Drifting) and "encoder" in spec.objective.features
    if wanted and spec.encoder is None:
        path = ("objective", "features")
        yield Problem(("encoder",), f'missing, {dotted(path)} names "encoder"', asked_by=path)
    if spec.encoder and spec.objective and not wanted:
        msg = 'nothing reads it; name "encoder" in objective.features of a drifting objective'
        yield Problem(("encoder",), msg)
    if spec.encoder and holds_points(spec.data):
        yield Problem(("encoder",), "encodes images, but the data are points")


def _drifting_takes_whole_batches(spec: Spec) -> Iterator[Problem]:
    if spec.train and isinstance(spec.objective, Drifting) and spec.train.accumulate > 1:
        msg = "drifting normalizes over its whole batch, which parts do not see; expected 1"
        yield Problem(("train", "accumulate"), f"{msg}, got {spec.train.accumulate}")


def _warmup_fits(spec: Spec) -> Iterator[Problem]:
    if spec.train is None:
        return
    warmup = getattr(spec.train.lr_schedule, "warmup_steps", 0)
    if warmup > spec.train.steps:
        msg = f"expected at most train.steps = {spec.train.steps}, got {warmup}"
        yield Problem(("train", "lr_schedule", "warmup_steps"), msg)


CHECKS = (
    ((*TRAINING, "encoder"), _training_is_whole),
    (("data", "network"), _network_fits_data),
    (("network",), _unet_is_consistent),
    (("network", "objective"), _network_fits_objective),
    (("data", "objective"), _objective_fits_data),
    (("data", "network", "objective"), _autoencoder_fits_data),
    (("objective", "train"), _tuning_begins),
    (("objective",), _objective_is_consistent),
    (("data", "objective", "encoder"), _encoder_is_used),
    (("objective", "train"), _drifting_takes_whole_batches),
    (("train",), _warmup_fits),
)
