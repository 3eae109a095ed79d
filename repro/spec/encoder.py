"""Whose maps are compared when samples drift: a frozen network, and which vectors of it.

A `ConvEncoder` is trained by the run that uses it. A `PretrainedEncoder` was trained by another
run, which is named by its spec file:

    [encoder]
    kind = "pretrained"
    from = "mae-w256.toml"

The file is read when the spec is; its whole spec becomes the value `run`, so the identity of a run
holds the identity of the one it builds on, and a recorded run can be read and run again without the
file. What that run needs for its weights joins the plan.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import field, frozen

from repro.spec.fields import (
    MAX_SIDE,
    above,
    added,
    count,
    each,
    finite,
    location,
    matching,
    not_empty,
    pin,
    text,
)
from repro.spec.map_keys import SUFFIXES, MapKeys
from repro.spec.network import ConvEncoder
from repro.spec.problems import KeyPath

if TYPE_CHECKING:
    from repro.spec.document import Spec


@frozen(kw_only=True)
class PretrainedEncoder:
    """The encoder that another run trained, with its averaged weights; files say `from`, a path.

    `norm_x` adds the root mean square of every channel of the encoder's input.
    """

    kind: ClassVar = "pretrained"

    run: "Spec"
    features: tuple[MapKeys, ...] = field(default=(MapKeys(),), validator=not_empty)
    norm_x: bool = True


@frozen(kw_only=True)
class LibraryEncoder:
    """A network of torchvision, timm or transformers with the weights in a file of yours.

    `path` is a safetensors file of the state of torchvision's or timm's *model*; for transformers,
    whose config names the model, a folder with `config.json` and `model.safetensors`. `digest` pins
    the content, or is `unpinned` until it is known. Images are enlarged or reduced to `side` x
    `side` (bilinear, antialiased) and normalized by `mean` and `std` of images in [0, 1].
    `features` names modules of the network. `standardize` divides every vector of a map by its
    deviation over the channels after taking off their mean, but for the maps of the modules named
    in `unstandardized`; `channels_last` says that its maps are [B, H, W, C].
    """

    kind: ClassVar = "library-encoder"

    library: Literal["torchvision", "timm", "transformers"]
    model: str = ""
    path: str = location()
    digest: str = pin()
    features: tuple[MapKeys, ...] = field(validator=not_empty)
    side: int = count(default=224, most=MAX_SIDE)
    mean: tuple[float, float, float] = field(default=(0.485, 0.456, 0.406), validator=each(finite))
    std: tuple[float, float, float] = field(
        default=(0.229, 0.224, 0.225), validator=[each(finite), each(above(0))]
    )
    standardize: bool = False
    channels_last: bool = False
    unstandardized: tuple[str, ...] = added((), validator=each(matching(".+")))


SingleEncoder = ConvEncoder | PretrainedEncoder | LibraryEncoder


@frozen(kw_only=True)
class Member:
    """One of several encoders; its keys begin with `name` and a slash."""

    name: str = text("[a-z0-9][a-z0-9-]*")
    encoder: SingleEncoder


@frozen(kw_only=True)
class SeveralEncoders:
    """Encoders beside one another, as the drifting paper's pixel models have two."""

    kind: ClassVar = "several"

    members: tuple[Member, ...] = field(validator=not_empty)


Encoder = ConvEncoder | PretrainedEncoder | LibraryEncoder | SeveralEncoders


def singles(encoder: Encoder | None) -> Iterator[tuple[KeyPath, str, SingleEncoder]]:
    """Each encoder of a spec with its place and its name; one that stands alone has none."""
    match encoder:
        case None:
            pass
        case SeveralEncoders(members=members):
            for index, member in enumerate(members):
                yield ("encoder", "members", index, "encoder"), member.name, member.encoder
        case _:
            yield ("encoder",), "", encoder


def mae_taps(blocks: Sequence[int]) -> list[str]:
    """The names of a masked autoencoder's maps: the stem, every second block, every stage's end."""
    names = ["conv1"]
    for stage, num_blocks in enumerate(blocks, start=1):
        names += [f"layer{stage}_blk{block}" for block in range(2, num_blocks + 1, 2)]
        names.append(f"layer{stage}")
    return names


def conv_taps(channels: Sequence[int]) -> list[str]:
    """The names of a convolutional encoder's maps: its stages."""
    return [f"stage{stage}" for stage in range(1, len(channels) + 1)]


def feature_keys(encoder: Encoder | None) -> list[str]:
    """The keys of an encoder's vectors; those of patches are there if these divide their map."""
    keys: list[str] = []
    for _, name, single in singles(encoder):
        prefix = f"{name}/" if name else ""
        keys += [f"{prefix}{each}" for each in _single_keys(single)]
    return keys


def _single_keys(encoder: SingleEncoder) -> Iterator[str]:
    match encoder:
        case ConvEncoder(channels=channels, features=groups):
            yield "norm_x"
            few = (MapKeys(statistics=("locations", "mean-std")),)
            yield from _keys_of(groups or few, conv_taps(channels))
        case PretrainedEncoder(run=run, features=groups, norm_x=norm_x):
            yield from ["norm_x"] if norm_x else []
            yield from _keys_of(groups, mae_taps(getattr(run.network, "blocks", ())))
        case LibraryEncoder(features=groups):
            yield from _keys_of(groups, ())


def _keys_of(groups: Sequence[MapKeys], taps: Sequence[str]) -> Iterator[str]:
    for group in groups:
        for tap in group.taps or taps:
            for statistic in group.statistics:
                yield from (f"{tap}{suffix}" for suffix in SUFFIXES[statistic])
