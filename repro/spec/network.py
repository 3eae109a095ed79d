"""What has parameters."""

from typing import ClassVar

from attrs import field, frozen

from repro.spec.fields import (
    MAX_COUNT,
    MAX_SIDE,
    MAX_WIDTH,
    between,
    count,
    each,
    fraction,
    non_negative,
    positive,
    random_seed,
    widths,
)


@frozen(kw_only=True)
class ConvGenerator:
    """One call from Gaussian noise to an image: dense layer, then upsampling residual blocks.

    Class and guidance scale alpha enter every block as scale and shift. `channels` are the widths
    from the coarsest map upward; each further entry doubles height and width.
    """

    kind: ClassVar = "conv-generator"

    noise_dim: int = count(default=128, rehearsal=16)
    channels: tuple[int, ...] = widths(default=(128, 96, 64, 48), rehearsal=8)
    conditioning_dim: int = count(default=128, rehearsal=16)
    num_classes: int = count(default=10)


@frozen(kw_only=True)
class Mlp:
    """A multilayer perceptron with SiLU from Gaussian noise to points (the drifting toy)."""

    kind: ClassVar = "mlp"

    noise_dim: int = count(default=32)
    hidden: tuple[int, ...] = widths(default=(256, 256, 256), rehearsal=16)


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
    num_classes: int = count(default=0, least=0)


Network = ConvGenerator | Mlp | UNet2D | Mae


@frozen(kw_only=True)
class ConvEncoder:
    """A small residual classifier; once trained it is frozen and its stages are features."""

    kind: ClassVar = "conv-encoder"

    channels: tuple[int, ...] = widths(default=(32, 64, 128), rehearsal=8)
    steps: int = count(default=300, rehearsal=2)
    batch_size: int = count(default=128, rehearsal=8)
    lr: float = positive(default=2e-3)
    weight_decay: float = non_negative(default=1e-2)
    seed: int = random_seed(default=0)
