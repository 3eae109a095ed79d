"""What has parameters."""

from typing import ClassVar, Literal

from attrs import field, frozen

from repro.spec.conditional import UNet2DConditional, UNetStl10
from repro.spec.edm import UNet2DSigma
from repro.spec.fields import (
    MAX_COUNT,
    MAX_PATCH,
    MAX_SIDE,
    MAX_WIDTH,
    above,
    added,
    between,
    count,
    each,
    finite,
    fraction,
    multiple,
    non_negative,
    positive,
    random_seed,
    widths,
)
from repro.spec.kl import KlAutoencoder
from repro.spec.map_keys import MapKeys
from repro.spec.unet_cifar32 import UNetCifar32

Precision = Literal["float32", "bfloat16"]
"""In which numbers a network's products are taken; parameters stay in float32."""

NUM_CLASSES = 10
"""How many classes a rehearsal has at most: of each, its few images are several."""


@frozen(kw_only=True)
class ConvGenerator:
    """One call from Gaussian noise to an image: dense layer, then upsampling residual blocks.

    Class and guidance scale alpha enter every block as scale and shift. `channels` are the widths
    from the coarsest map upward; each further entry doubles height and width. In `bfloat16` its
    products take and give rounded numbers.
    """

    kind: ClassVar = "conv-generator"

    noise_dim: int = count(default=128, rehearsal=16)
    channels: tuple[int, ...] = widths(default=(128, 96, 64, 48), rehearsal=8)
    conditioning_dim: int = count(default=128, rehearsal=16)
    num_classes: int = count(default=10, rehearsal=NUM_CLASSES)
    precision: Precision = added("float32")


@frozen(kw_only=True)
class Dit:
    """One call of a transformer on patches, from noise of the output's shape to the output.

    The generator of Deng et al. 2026, section A.2; the defaults are its B/2. The width is
    `num_heads` times `head_dim`. Class, guidance scale alpha and `num_style_tokens` random indices
    below `num_style_codes`, each with a table of its own, add up to one vector, which modulates
    every block (adaLN) and is given to the `num_registers` tokens before those of the patches. A
    count of 0 leaves a part out.

    `norm` is that of blocks and head; `rms-plain` has no weights. `position_embedding` is added to
    the patches and learned; it starts as sines and cosines of row and column. `qk_norm` is that of
    queries and keys: `unit` scales them to length 1, which bounds every attention logit by
    1 / sqrt(`head_dim`). `rope` turns them by their place in the sequence, or by row and column.
    The hidden width of `feed_forward` is 8/3 (SwiGLU) or 4 (GELU) times the model's.
    `alpha_embedding` gives its layers 256 cosines and sines of alpha, or alpha itself. With
    `adaln_init` zero a block starts as the identity, with `head_init` zero the first output is 0.
    In `bfloat16` the matrix products of the blocks take and give rounded numbers; norms,
    modulation, softmax and the sum over blocks stay in float32.
    """

    kind: ClassVar = "dit"

    patch_size: int = count(default=2, most=MAX_PATCH)
    depth: int = count(default=12, rehearsal=2)
    num_heads: int = count(default=12, rehearsal=2)
    head_dim: int = multiple(4, default=64, rehearsal=16)
    num_classes: int = count(default=1000, rehearsal=NUM_CLASSES)
    num_registers: int = count(default=16, rehearsal=2, least=0)
    num_style_tokens: int = count(default=32, rehearsal=2, least=0)
    num_style_codes: int = count(default=64, rehearsal=4)
    norm: Literal["rms", "layer", "rms-plain"] = "rms"
    qk_norm: Literal["rms", "unit", "none"] = "rms"
    rope: Literal["1d", "2d", "none"] = "1d"
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    alpha_embedding: Literal["sinusoid", "raw", "none"] = "sinusoid"
    adaln_init: Literal["zero", "xavier"] = "zero"
    head_init: Literal["zero", "xavier"] = "zero"
    precision: Precision = "float32"
    position_embedding: Literal["sinusoid", "none"] = added("sinusoid")


@frozen(kw_only=True)
class Mlp:
    """A multilayer perceptron with SiLU from Gaussian noise to points (the drifting toy).

    Its first points lie about `start_mean`, as far spread as they would be times `start_scale`.
    """

    kind: ClassVar = "mlp"

    noise_dim: int = count(default=32)
    hidden: tuple[int, ...] = widths(default=(256, 256, 256), rehearsal=16)
    start_mean: tuple[float, float] = added((0.0, 0.0), validator=each(finite))
    start_scale: float = added(1.0, validator=[finite, above(0)])


@frozen(kw_only=True)
class UNet2D:
    """The diffusers `UNet2DModel` (Ho et al. 2020), unconditional."""

    kind: ClassVar = "unet2d"

    channels: tuple[int, ...] = widths(default=(32, 64, 64, 64), rehearsal=8)
    layers_per_block: int = count(default=2, rehearsal=1)
    attention: tuple[bool, ...] = (False, False, False, False)
    norm_groups: int = count(default=32, rehearsal=4)
    dropout: float = fraction(default=0.0)


@frozen(kw_only=True)
class Mae:
    """A convolutional masked autoencoder (Deng et al. 2026, appendix A.3): residual U-Net.

    Images are cut into patches of `patch` x `patch` pixels, whose values become channels. Four
    stages of `blocks` residual blocks have `width`, 2, 4 and 8 times `width` channels; each after
    the first halves the sides. Its maps are the features of generators. `num_classes` adds a
    linear classifier to the encoder, for an objective that tunes it; 0 is none.
    """

    kind: ClassVar = "mae"

    width: int = count(default=64, rehearsal=8, most=MAX_WIDTH)
    blocks: tuple[int, int, int, int] = field(
        default=(3, 4, 6, 3), validator=each(between(1, MAX_COUNT))
    )
    patch: int = count(default=1, most=MAX_SIDE)
    num_classes: int = count(default=0, least=0, rehearsal=NUM_CLASSES)


Network = (
    ConvGenerator
    | Dit
    | KlAutoencoder
    | Mae
    | Mlp
    | UNet2D
    | UNet2DConditional
    | UNet2DSigma
    | UNetCifar32
    | UNetStl10
)


@frozen(kw_only=True)
class ConvEncoder:
    """A small residual classifier; once trained it is frozen and its stages are features.

    Stage k gives the map `stage<k>`. Without `features` samples are compared by 4 x 4 places of
    every map, its means and its deviations. With `flip` it also learns from mirror images. In
    `bfloat16` its convolutions take and give rounded numbers, which a processor with instructions
    for them does in about half the time.
    """

    kind: ClassVar = "conv-encoder"

    channels: tuple[int, ...] = widths(default=(32, 64, 128), rehearsal=8)
    steps: int = count(default=300, rehearsal=2)
    batch_size: int = count(default=128, rehearsal=8)
    lr: float = positive(default=2e-3)
    weight_decay: float = non_negative(default=1e-2)
    seed: int = random_seed(default=0)
    features: tuple[MapKeys, ...] = added(())
    flip: bool = added(default=False)
    precision: Precision = added("float32")
