"""The U-Net of diffusers, from noised images and their levels to a prediction."""

from typing import Any

from torch import Tensor, nn

from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from repro.spec import network as spec_network


def unet2d(spec: spec_network.UNet2D, shape: tuple[int, int, int]) -> "UNet2D":
    """The untrained U-Net for images of *shape* (channels, height, width).

    Raises:
        RunError: when the sides cannot be halved as often as `channels` has entries, less one.
    """
    require_halvings(len(spec.channels), shape)
    return UNet2D(spec, shape)


def require_halvings(num_widths: int, shape: tuple[int, int, int]) -> None:
    """Refuse a U-Net of so many widths for images of *shape* (channels, height, width).

    Raises:
        RunError: when the sides cannot be halved once less often than there are widths.
    """
    _, height, width = shape
    coarsest = 1 << (num_widths - 1)
    if height % coarsest or width % coarsest:
        msg = (
            f"network.channels: {num_widths} entries halve the image {num_widths - 1} times, "
            f"which {height} x {width} does not allow; list fewer"
        )
        raise RunError(msg)


class UNet2D(nn.Module):
    """A `UNet2DModel` with self-attention in the listed stages, and then also at the bottom."""

    def __init__(self, spec: spec_network.UNet2D, shape: tuple[int, int, int]) -> None:
        super().__init__()
        ensure_torchvision_importable()
        from diffusers import UNet2DModel

        channels, height, width = shape
        self.unet: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=spec.channels,
            layers_per_block=spec.layers_per_block,
            down_block_types=tuple(_blocks(spec, "Down")),
            up_block_types=tuple(reversed(_blocks(spec, "Up"))),
            add_attention=any(spec.attention),
            norm_num_groups=spec.norm_groups,
            dropout=spec.dropout,
        )

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        """A prediction [B, C, H, W] for noised images z [B, C, H, W] at *levels* [B]."""
        prediction: Tensor = self.unet(z, levels).sample
        return prediction


def _blocks(spec: spec_network.UNet2D, way: str) -> list[str]:
    return [f"Attn{way}Block2D" if attends else f"{way}Block2D" for attends in spec.attention]
