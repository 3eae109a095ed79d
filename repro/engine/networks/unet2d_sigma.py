"""The U-Net of diffusers, told a real noise level for every scale of what it sees."""

from typing import Any

import torch
from torch import Tensor, nn

from repro.engine.edm.augment import NUM_NUMBERS
from repro.engine.networks.unet2d import require_halvings
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec import edm as spec_edm

LOWEST_FREQUENCY = 1e-4


def unet2d_sigma(spec: spec_edm.UNet2DSigma, shape: tuple[int, int, int]) -> "UNet2DSigma":
    """The untrained U-Net for states of *shape* (channels, height, width).

    Raises:
        RunError: when the sides cannot be halved as often as `channels` has entries, less one.
    """
    require_halvings(len(spec.channels), shape)
    return UNet2DSigma(spec, shape)


class UNet2DSigma(nn.Module):
    """A `UNet2DModel` with residual resampling.

    One level is given to it as its time. Several become its class embedding, by sinusoids of each
    and two layers over all; its time is 0 then. What was done to an image is added there, by a
    layer without bias: of an image that nothing was done to, it is nothing.
    """

    def __init__(self, spec: spec_edm.UNet2DSigma, shape: tuple[int, int, int]) -> None:
        super().__init__()
        ensure_torchvision_importable()
        from diffusers import UNet2DModel

        channels, height, width = shape
        several = spec.num_scales > 1
        self.unet: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            block_out_channels=spec.channels,
            layers_per_block=spec.layers_per_block,
            time_embedding_dim=spec.embedding_dim,
            freq_shift=1,
            flip_sin_to_cos=False,
            down_block_types=tuple(_blocks(spec, "Down")),
            up_block_types=tuple(reversed(_blocks(spec, "Up"))),
            add_attention=any(spec.attention),
            attention_head_dim=None,
            norm_num_groups=spec.norm_groups,
            norm_eps=1e-6,
            dropout=spec.dropout,
            downsample_type="resnet",
            upsample_type="resnet",
            class_embed_type="identity" if several or spec.told_changes else None,
        )
        self.embed_levels = LevelEmbedding(spec) if several else None
        width = spec.embedding_dim
        self.embed_changes = (
            nn.Linear(NUM_NUMBERS, width, bias=False) if spec.told_changes else None
        )

    def forward(self, states: Tensor, levels: Tensor, changes: Tensor | None = None) -> Tensor:
        """A prediction for *states* [B, C, H, W] at *levels* [B, G], logarithms of sigma.

        *changes* [B, 9] are what was done to the images before the noise; None is nothing.
        """
        embedded = None if self.embed_levels is None else self.embed_levels(levels)
        if self.embed_changes is not None:
            changes = states.new_zeros(len(states), NUM_NUMBERS) if changes is None else changes
            told = self.embed_changes(changes)
            embedded = told if embedded is None else embedded + told
        time = levels[:, 0] if self.embed_levels is None else 0
        prediction: Tensor = self.unet(states, time, class_labels=embedded).sample
        return prediction


class LevelEmbedding(nn.Module):
    """Levels [B, G] as one vector [B, embedding_dim]."""

    def __init__(self, spec: spec_edm.UNet2DSigma) -> None:
        super().__init__()
        width = spec.channels[0] + spec.channels[0] % 2
        exponents = torch.arange(width // 2) / max(width // 2 - 1, 1)
        self.register_buffer("frequencies", LOWEST_FREQUENCY**exponents, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(spec.num_scales * width, spec.embedding_dim),
            nn.SiLU(),
            nn.Linear(spec.embedding_dim, spec.embedding_dim),
        )

    def forward(self, levels: Tensor) -> Tensor:
        angles = levels[..., None] * self.frequencies  # type: ignore[operator]
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        embedded: Tensor = self.layers(waves.flatten(1))
        return embedded


def _blocks(spec: spec_edm.UNet2DSigma, way: str) -> list[str]:
    return [f"Attn{way}Block2D" if attends else f"{way}Block2D" for attends in spec.attention]
