"""What has parameters."""

from typing import ClassVar

from attrs import field, frozen, validators

from repro.spec.fields import count, fraction


@frozen(kw_only=True)
class ConvGenerator:
    """One call from Gaussian noise to an image: dense layer, then upsampling residual blocks.

    Class and guidance scale alpha enter every block as scale and shift. `channels` are the widths
    from 4 x 4 upward; each further entry doubles height and width.
    """

    kind: ClassVar = "conv-generator"

    noise_dim: int = count(default=128, rehearsal=16)
    channels: tuple[int, ...] = (128, 96, 64, 48)
    conditioning_dim: int = count(default=128, rehearsal=16)
    num_classes: int = count(default=10)


@frozen(kw_only=True)
class Mlp:
    """A multilayer perceptron with SiLU from Gaussian noise to points (the drifting toy)."""

    kind: ClassVar = "mlp"

    noise_dim: int = count(default=32)
    hidden: tuple[int, ...] = (256, 256, 256)


@frozen(kw_only=True)
class UNet2D:
    """The diffusers `UNet2DModel` (Ho et al. 2020), unconditional."""

    kind: ClassVar = "unet2d"

    channels: tuple[int, ...] = field(
        default=(32, 64, 64, 64), validator=validators.min_len(1)
    )
    layers_per_block: int = count(default=2, rehearsal=1)
    attention: tuple[bool, ...] = (False, False, False, False)
    norm_groups: int = count(default=32)
    dropout: float = fraction(default=0.0)


Network = ConvGenerator | Mlp | UNet2D


@frozen(kw_only=True)
class ConvEncoder:
    """A small residual classifier; once trained it is frozen and its stages are features."""

    kind: ClassVar = "conv-encoder"

    channels: tuple[int, ...] = (32, 64, 128)
    steps: int = count(default=300, rehearsal=2)
    batch_size: int = count(default=128, rehearsal=8)
    lr: float = field(default=2e-3, validator=validators.gt(0))
    weight_decay: float = field(default=1e-2, validator=validators.ge(0))
    seed: int = field(default=0, validator=validators.ge(0))


Encoder = ConvEncoder
