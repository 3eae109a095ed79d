"""Denoisers that are told a class, and how they are told it.

What a network is told is a field of the network. So it cannot be built before the table that it
needs is there, nor without the layers that read it.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import (
    at_least,
    content_digest,
    count,
    fraction,
    location,
    random_seed,
    several,
    text,
    widths,
)

TEN = tuple(range(10))
Scaling = Literal["raw", "unit", "centred", "standardised"]


@frozen(kw_only=True)
class Labels:
    """A learned vector for each class and one more, the null token, for none."""

    kind: ClassVar = "labels"

    num_classes: int = count(default=10)


@frozen(kw_only=True)
class VectorTable:
    """Fixed vectors of an `.npz` file, which is held to its digest: text embeddings of CLIP, say.

    Class i is told as row `rows[i]` of `array`, no class as `null_row`. An array is [R, `dim`], or
    [R, `num_tokens`, `dim`] with as many tokens. Rows are taken `raw`, scaled to length 1 (`unit`),
    less the mean of all rows that are used (`centred`), or centred and then divided by the root
    mean square of what is left (`standardised`). Rows of a text encoder lie close together: those
    of "a photo of a cat" and "a photo of a dog" have a cosine of 0.93.
    """

    kind: ClassVar = "table"

    path: str = location()
    digest: str = content_digest()
    array: str = text(r"\w+", default="embeddings")
    rows: tuple[int, ...] = several(at_least(0), default=TEN)
    null_row: int = count(default=10, least=0)
    num_tokens: int = count(default=1)
    dim: int = count(default=512)
    scaling: Scaling = "standardised"


@frozen(kw_only=True)
class RandomTable:
    """Fixed normal vectors from a seed: what a table is worth that means nothing."""

    kind: ClassVar = "random-table"

    num_classes: int = count(default=10)
    num_tokens: int = count(default=1)
    dim: int = count(default=512)
    seed: int = random_seed(default=0)


Condition = Labels | VectorTable | RandomTable


@frozen(kw_only=True)
class UNet2DConditional:
    """The diffusers U-Net with a condition.

    The condition `enters` as a vector added to that of the noise level (`embedding`), or every
    listed `attention` stage attends to it (`cross-attention`). Attention to a single token does not
    depend on what asks: it adds the same vector everywhere.
    """

    kind: ClassVar = "unet2d-conditional"

    condition: Condition
    enters: Literal["embedding", "cross-attention"] = "embedding"
    channels: tuple[int, ...] = widths(default=(32, 64, 64, 64), rehearsal=8)
    layers_per_block: int = count(default=2, rehearsal=1)
    attention: tuple[bool, ...] = (False, False, False, False)
    norm_groups: int = count(default=32, rehearsal=4)
    dropout: float = fraction(default=0.0)


@frozen(kw_only=True)
class UNetStl10:
    """The U-Net of the STL-10 log: four residual blocks, two down and two up.

    `channels` are the width of the first convolution and of the four blocks; self-attention is in
    the second and third. The condition `enters` as a vector added to that of the level, or by
    attention in every block, as the log has it: what self-attention gives only asks, so that with
    one token the weights of self-attention get no gradient. The last convolution starts at zero.
    """

    kind: ClassVar = "unet-stl10"

    condition: Condition
    enters: Literal["embedding", "cross-attention"] = "embedding"
    channels: tuple[int, int, int, int, int] = widths(default=(64, 64, 128, 256, 128), rehearsal=16)
    num_heads: int = count(default=8)
    norm_groups: int = count(default=8)
    dropout: float = fraction(default=0.1)


ConditionalNetwork = UNet2DConditional | UNetStl10


def classes_told(condition: Condition) -> int:
    """How many classes the condition tells apart; the null token is none of them."""
    return len(condition.rows) if isinstance(condition, VectorTable) else condition.num_classes


def tokens_told(condition: Condition) -> int:
    """How many vectors a class is told as."""
    return 1 if isinstance(condition, Labels) else condition.num_tokens


def idle_attention(network: ConditionalNetwork) -> Sequence[str]:
    """What a person should know of a network that attends to a single token."""
    if network.enters == "embedding" or tokens_told(network.condition) > 1:
        return ()
    says = (
        "network: attention to one token does not depend on what asks: cross-attention adds the "
        "same vector everywhere"
    )
    if isinstance(network, UNetStl10):
        says += ", and the weights of self-attention get no gradient"
    return (f"{says}; give the condition more tokens, or let it enter as an embedding",)
