"""What the training of an autoencoder must agree on, and what builds on it."""

from collections.abc import Iterator

from repro.spec.autoencoder import TrainedAutoencoderKl
from repro.spec.data import Latents
from repro.spec.document import Spec
from repro.spec.kl import KlAutoencoder, KlAutoencoding
from repro.spec.layout import doublings, holds_latents, holds_points, layout
from repro.spec.probes.denoising import Autoencoding
from repro.spec.problems import Problem
from repro.spec.sample import FromCheckpoint

RGB = 3


def _autoencoding_is_whole(spec: Spec) -> Iterator[Problem]:
    codes = isinstance(spec.objective, KlAutoencoding)
    if codes and spec.network and not isinstance(spec.network, KlAutoencoder):
        msg = "kl-autoencoding needs an autoencoder; expected kl-autoencoder"
        yield Problem(("network", "kind"), msg)
    if isinstance(spec.network, KlAutoencoder) and spec.objective and not codes:
        msg = f"is no network of a {spec.objective.kind} objective; expected kl-autoencoding"
        yield Problem(("network", "kind"), msg)


def _architecture_fits_images(spec: Spec) -> Iterator[Problem]:
    if not isinstance(spec.network, KlAutoencoder):
        return
    layers = spec.network.architecture
    for index, width in enumerate(layers.channels):
        if width % layers.norm_groups:
            msg = f"expected a multiple of norm_groups = {layers.norm_groups}, got {width}"
            yield Problem(("network", "architecture", "channels", index), msg)
    if spec.data and (holds_points(spec.data) or holds_latents(spec.data)):
        yield Problem(("data", "kind"), f"an autoencoder learns from images, not {spec.data.kind}")
    shape, factor = layout(spec.data) if spec.data else None, doublings(layers.channels)
    if shape and (shape.height % factor or shape.width % factor):
        msg = f"needs sides divisible by {factor}, but the data are {shape.height} x {shape.width}"
        yield Problem(("network", "architecture", "channels"), msg)
    if spec.data and shape and shape.channels != RGB:
        msg = f"the autoencoder takes RGB images, {spec.data.kind} is grey"
        yield Problem(("data", "kind"), msg)


def _nothing_is_sampled(spec: Spec) -> Iterator[Problem]:
    if not isinstance(spec.objective, KlAutoencoding):
        return
    for table in ("evaluate", "probe"):
        for index, each in enumerate(getattr(spec, table)):
            if isinstance(getattr(each, "sample", None), FromCheckpoint):
                msg = "the network restores images and makes none; expected a generator's spec"
                yield Problem((table, index, "sample"), msg)


def _autoencoding_is_looked_at(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        objective = spec.objective
        wrong = objective is not None and not isinstance(objective, KlAutoencoding)
        if isinstance(probe, Autoencoding) and wrong and objective:
            msg = f"looks at what kl-autoencoding trains, got {objective.kind}"
            yield Problem(("probe", index, "kind"), msg)


def _coder_is_trained(spec: Spec) -> Iterator[Problem]:
    match spec.data:
        case Latents(autoencoder=TrainedAutoencoderKl(run=run)):
            if not isinstance(run.objective, KlAutoencoding) or run.train is None:
                trained = run.objective.kind if run.objective else "nothing"
                msg = f"trains no autoencoder: its objective is {trained}, expected kl-autoencoding"
                yield Problem(("data", "autoencoder", "run"), msg)
        case _:
            pass


CHECKS = (
    (("network", "objective"), _autoencoding_is_whole),
    (("data", "network"), _architecture_fits_images),
    (("objective", "evaluate", "probe"), _nothing_is_sampled),
    (("objective", "probe"), _autoencoding_is_looked_at),
    (("data",), _coder_is_trained),
)
