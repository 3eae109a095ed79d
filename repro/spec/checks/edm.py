"""What denoising at real noise levels, scale by scale, must agree on."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from repro.spec.checks.evaluation import readers
from repro.spec.data import Dataset
from repro.spec.document import Spec
from repro.spec.edm import Edm, Heun, TorusPyramid, UNet2DSigma, num_scales
from repro.spec.layout import Layout, doublings, holds_latents, holds_points, layout
from repro.spec.path import Cheapest, CoarseToFine, LeadEach, MultiOffset, Path, Tabulated
from repro.spec.probes.gaussian_path import GaussianPath
from repro.spec.probes.jacobian_heatmap import JacobianHeatmap
from repro.spec.problems import KeyPath, Problem, choice
from repro.spec.sample import FromCheckpoint
from repro.spec.train import HalfLifeEma, ImageRampLr

THREE = 3


def _network_fits_objective(spec: Spec) -> Iterator[Problem]:
    match spec.network, spec.objective:
        case UNet2DSigma() as network, Edm(codec=codec):
            if network.num_scales != (wanted := num_scales(codec)):
                msg = f"expected {wanted}, the scales of objective.codec, got {network.num_scales}"
                yield Problem(("network", "num_scales"), msg)
        case UNet2DSigma(), objective if objective is not None:
            msg = f"is told real noise levels, which {objective.kind} has not; expected edm"
            yield Problem(("objective", "kind"), msg)
        case network, Edm() if network is not None:
            msg = f"edm needs a network of real noise levels, got {network.kind}; expected"
            yield Problem(("network", "kind"), f"{msg} {UNet2DSigma.kind}")
        case _:
            pass


def _changes_are_told(spec: Spec) -> Iterator[Problem]:
    match spec.network, spec.objective:
        case UNet2DSigma(told_changes=told), Edm(augment=augment):
            if augment and not told:
                msg = "objective.augment tells the network what was done; expected true, got false"
                yield Problem(("network", "told_changes"), msg)
            if told and not augment:
                msg = "nothing is done to images; expected false, or a table [objective.augment]"
                yield Problem(("network", "told_changes"), msg)
        case _:
            pass


def _augmented_are_images(spec: Spec) -> Iterator[Problem]:
    if not isinstance(spec.objective, Edm) or not spec.objective.augment:
        return
    if spec.objective.flip:
        msg = "objective.augment mirrors images already, and tells the network; expected false"
        yield Problem(("objective", "flip"), msg)
    if holds_latents(spec.data):
        msg = "latents cannot be turned or stretched as images can; expected none"
        yield Problem(("objective", "augment"), msg)


def _codec_fits_data(spec: Spec) -> Iterator[Problem]:
    if not isinstance(spec.objective, Edm):
        return
    if holds_points(spec.data):
        yield Problem(("objective", "kind"), "edm needs images, expected drifting")
    if isinstance(codec := spec.objective.codec, TorusPyramid):
        yield from _scales_grow(codec)
        yield from _images_have_scales(codec, spec.data)


def _scales_grow(codec: TorusPyramid) -> Iterator[Problem]:
    path = ("objective", "codec", "factors")
    if codec.factors[0] != 1:
        yield Problem(
            (*path, 0), f"the first scale is the image, expected 1, got {codec.factors[0]}"
        )
    for index, (finer, coarser) in enumerate(pairwise(codec.factors)):
        if coarser <= finer:
            msg = f"expected a scale coarser than {finer}, got {coarser}"
            yield Problem((*path, index + 1), msg)


def _images_have_scales(codec: TorusPyramid, data: Dataset | None) -> Iterator[Problem]:
    if holds_latents(data):
        msg = "takes values in [-1, 1] to a circle, which latents exceed; expected identity"
        yield Problem(("objective", "codec", "kind"), msg)
    shape = layout(data) if data else None
    for index, factor in enumerate(codec.factors):
        if shape and (shape.height % factor or shape.width % factor):
            msg = f"expected a divisor of {shape.height} x {shape.width}, got {factor}"
            yield Problem(("objective", "codec", "factors", index), msg)


def _sides_can_be_halved(spec: Spec) -> Iterator[Problem]:
    match spec.network, spec.data and layout(spec.data):
        case UNet2DSigma(channels=channels), Layout(height=height, width=width):
            factor = doublings(channels)
            if height % factor or width % factor:
                msg = f"{len(channels)} entries need sides divisible by {factor}"
                msg += f", but the data are {height} x {width}"
                yield Problem(("network", "channels"), msg)
        case _:
            pass


def _samplers_fit(spec: Spec) -> Iterator[Problem]:
    for place, reader in readers(spec):
        path = (*place, "sample", "sampler")
        match getattr(reader, "sample", None), spec.objective:
            case FromCheckpoint(sampler=Heun() as sampler), Edm() as objective:
                yield from _heun_is_sound(sampler, objective, path)
                yield from _heatmap_is_measured(sampler, spec, (*path, "path"))
            case FromCheckpoint(sampler=sampler), Edm():
                msg = f"an edm objective cannot use {sampler.kind}, expected heun"
                yield Problem((*path, "kind"), msg)
            case FromCheckpoint(sampler=Heun()), objective if objective is not None:
                msg = f"heun needs an edm objective, got {objective.kind}"
                yield Problem((*path, "kind"), msg)
            case _:
                pass


def _heun_is_sound(sampler: Heun, objective: Edm, path: KeyPath) -> Iterator[Problem]:
    if sampler.sigma_min >= sampler.sigma_max:
        msg = f"expected less than sigma_max = {sampler.sigma_max}, got {sampler.sigma_min}"
        yield Problem((*path, "sigma_min"), msg)
    if sampler.prior == "unit-circle" and not isinstance(objective.codec, TorusPyramid):
        msg = "pairs channels, which only a torus-pyramid codec has in even number"
        yield Problem((*path, "prior"), msg)
    churn = sampler.churn
    if churn and churn.from_sigma > churn.to_sigma:
        msg = f"expected at most to_sigma = {churn.to_sigma}, got {churn.from_sigma}"
        yield Problem((*path, "churn", "from_sigma"), msg)
    scales = num_scales(objective.codec)
    yield from _path_has_scales(sampler.path, scales, sampler.steps, (*path, "path"))


def _heatmap_is_measured(sampler: Heun, spec: Spec, at: KeyPath) -> Iterator[Problem]:
    if not isinstance(path := sampler.path, Cheapest):
        return
    maps = {each.name: each for each in spec.probe if isinstance(each, JacobianHeatmap)}
    if path.heatmap in maps:
        yield from _there_is_a_way(path, sampler.steps, maps[path.heatmap].num_levels - 1, at)
    else:
        msg = f"no probe {path.heatmap!r} of kind {JacobianHeatmap.kind}"
        yield Problem((*at, "heatmap"), f"{msg}, {choice(path.heatmap, maps)}")


def _there_is_a_way(path: Cheapest, moves: int, far: int, at: KeyPath) -> Iterator[Problem]:
    """So many moves reach the last level, *far* levels away, and need not stand still."""
    least = -(-far // path.max_jump)
    most = far if path.band == 0 else 2 * far
    if moves < least:
        msg = f"{moves} steps over {far + 1} levels need jumps of at least {-(-far // moves)}"
        yield Problem((*at, "max_jump"), f"{msg}, got {path.max_jump}")
    if moves > most:
        msg = f"a path over {far + 1} levels has at most {most} steps, got {moves}"
        yield Problem((*at[:-1], "steps"), msg)


def _gaussian_paths_are_sound(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if not isinstance(probe, GaussianPath):
            continue
        place = ("probe", index)
        match probe.sampler:
            case Heun(path=Cheapest()):
                msg = "its levels are not known without a network; expected another path"
                yield Problem((*place, "sampler", "path", "kind"), msg)
            case Heun(path=path, steps=steps):
                yield from _path_has_scales(path, 2, steps, (*place, "sampler", "path"))
            case sampler:
                msg = f"steps down a path, expected heun, got {sampler.kind}"
                yield Problem((*place, "sampler", "kind"), msg)
        if probe.pixels % probe.factor:
            msg = f"expected a divisor of pixels = {probe.pixels}, got {probe.factor}"
            yield Problem((*place, "factor"), msg)


def _heatmaps_have_scales(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        match probe, spec.objective:
            case JacobianHeatmap(), Edm(codec=codec) if num_scales(codec) > 1:
                pass
            case JacobianHeatmap(), objective if objective is not None:
                msg = "needs objective edm with a codec of several scales"
                yield Problem(("probe", index, "kind"), msg)
            case _:
                pass


def _path_has_scales(path: Path | Any, scales: int, steps: int, at: KeyPath) -> Iterator[Problem]:
    match path:
        case CoarseToFine() if scales != THREE:
            yield Problem((*at, "kind"), f"is for three scales, the codec has {scales}")
        case LeadEach(ahead=ahead) if len(ahead) != scales - 1:
            msg = f"expected {scales - 1} entries, one a coarse scale, got {len(ahead)}"
            yield Problem((*at, "ahead"), msg)
        case MultiOffset(shares=shares):
            if len(shares) != scales:
                msg = f"expected {scales} entries, one a scale, got {len(shares)}"
                yield Problem((*at, "shares"), msg)
            for index, share in enumerate(shares):
                if share >= 1:
                    msg = f"expected a part of all steps, less than 1, got {share}"
                    yield Problem((*at, "shares", index), msg)
        case Tabulated(sigmas=sigmas):
            yield from _table_has_size(sigmas, scales, steps, (*at, "sigmas"))
        case _:
            pass


def _table_has_size(sigmas: Any, scales: int, steps: int, at: KeyPath) -> Iterator[Problem]:
    if len(sigmas) != steps:
        yield Problem(at, f"expected {steps} rows, one a step, got {len(sigmas)}")
    for index, row in enumerate(sigmas):
        if len(row) != scales:
            msg = f"expected {scales} entries, one a scale, got {len(row)}"
            yield Problem((*at, index), msg)
    for index, (above, below) in enumerate(pairwise(sigmas)):
        if any(later > earlier for earlier, later in zip(above, below, strict=False)):
            msg = "a scale goes back to more noise; expected levels that never rise"
            yield Problem((*at, index + 1), msg)


def _images_are_counted(spec: Spec) -> Iterator[Problem]:
    if spec.train is None or spec.objective is None or hasattr(spec.objective, "batch_size"):
        return
    msg = f"counts images, and {spec.objective.kind} shows no fixed number of them; expected"
    if isinstance(spec.train.lr_schedule, ImageRampLr):
        yield Problem(("train", "lr_schedule", "kind"), f"{msg} constant or cosine")
    if isinstance(spec.train.ema, HalfLifeEma):
        yield Problem(("train", "ema", "kind"), f"{msg} constant or warmup")


CHECKS = (
    (("network", "objective"), _network_fits_objective),
    (("network", "objective"), _changes_are_told),
    (("data", "objective"), _augmented_are_images),
    (("data", "objective"), _codec_fits_data),
    (("data", "network"), _sides_can_be_halved),
    (("objective", "evaluate", "probe"), _samplers_fit),
    (("probe",), _gaussian_paths_are_sound),
    (("objective", "probe"), _heatmaps_have_scales),
    (("objective", "train"), _images_are_counted),
)
