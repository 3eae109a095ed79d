"""What images, their size and the autoencoder of latents must agree on."""

from collections.abc import Iterator
from typing import Any

from repro.spec.autoencoder import AutoencoderKl, UntrainedAutoencoderKl
from repro.spec.data import Latents
from repro.spec.document import Spec
from repro.spec.layout import encoded_sides, layout, reduction
from repro.spec.problems import Problem

RGB = 3


def _autoencoder_is_consistent(spec: Spec) -> Iterator[Problem]:
    match spec.data:
        case Latents(autoencoder=AutoencoderKl() | UntrainedAutoencoderKl() as autoencoder):
            groups = autoencoder.architecture.norm_groups
            for index, width in enumerate(autoencoder.architecture.channels):
                if width % groups:
                    path = ("data", "autoencoder", "architecture", "channels", index)
                    yield Problem(
                        path, f"expected a multiple of norm_groups = {groups}, got {width}"
                    )
        case _:
            pass


def _images_can_be_encoded(spec: Spec) -> Iterator[Problem]:
    match spec.data:
        case Latents() as data:
            yield from _sides_fit(data)
            shape: Any = layout(data.images)
            if shape and shape.channels != RGB:
                msg = f"the autoencoder takes RGB images, {data.images.kind} has grey ones"
                yield Problem(("data", "images", "kind"), msg)
        case _:
            pass


def _sides_fit(data: Latents) -> Iterator[Problem]:
    factor, sides, shape = reduction(data.autoencoder), encoded_sides(data), layout(data.images)
    path = ("data", "images") if data.enlarge_to is None else ("data", "enlarge_to")
    if sides and factor and any(side % factor for side in sides):
        msg = f"expected sides that {factor}, the reduction of the autoencoder, divides"
        yield Problem(path, f"{msg}; got {sides[0]} x {sides[1]}")
    if data.enlarge_to is None or shape is None:
        return
    if shape.height != shape.width or shape.height > data.enlarge_to:
        size = f"{data.images.kind} is {shape.height} x {shape.width}"
        yield Problem(path, f"enlarges square images, but {size}; got {data.enlarge_to}")


CHECKS = (
    (("data",), _autoencoder_is_consistent),
    (("data",), _images_can_be_encoded),
)
