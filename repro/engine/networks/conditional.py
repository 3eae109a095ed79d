"""The U-Nets of diffusers with a condition: from noised images, levels and labels to a prediction.

Vectors are added to the embedding of the level by `UNet2DModel`; `UNet2DConditionModel` attends to
them.
"""

from typing import Any

from torch import Tensor, nn

from repro.engine.networks.condition import Frozen, Learned, conditioner
from repro.engine.networks.unet2d import require_halvings
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from repro.spec import conditional as spec_conditional

LEVEL_FACTOR = 4
"""diffusers embeds levels in this many times the entries of the first width."""

HEADS = 8


def unet2d_conditional(
    spec: spec_conditional.UNet2DConditional, shape: tuple[int, int, int]
) -> "UNet2DConditional":
    """The untrained U-Net for images of *shape* (channels, height, width).

    Raises:
        ResourceError: the condition's table cannot be read.
        RunError: when the sides cannot be halved as often as `channels` has entries, less one, or
            the network does not have the layers that its condition enters by.
    """
    require_halvings(len(spec.channels), shape)
    network = UNet2DConditional(spec, shape)
    refuse_unconditioned(network, expected=_attending_layers(spec))
    return network


class UNet2DConditional(nn.Module):
    """A U-Net that is told a label; `null_label` tells it nothing."""

    def __init__(
        self, spec: spec_conditional.UNet2DConditional, shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        width = LEVEL_FACTOR * spec.channels[0]
        self.condition = conditioner(spec.condition, width=width)
        self.null_label = self.condition.null_label
        self.attends = spec.enters == "cross-attention"
        self.project = nn.Identity() if self.attends else embedder(self.condition, width=width)
        make = _attending if self.attends else _adding
        self.unet = make(spec, shape, dim=self.condition.dim)

    def forward(self, z: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        """A prediction [B, C, H, W] for images z [B, C, H, W] at *levels* [B] of *labels* [B]."""
        tokens = self.condition(labels)
        if self.attends:
            prediction: Tensor = self.unet(z, levels, encoder_hidden_states=tokens).sample
        else:
            vector = self.project(tokens.flatten(1))
            prediction = self.unet(z, levels, class_labels=vector).sample
        return prediction

    def cross_attention_layers(self) -> int:
        """How many layers attend to the condition."""
        return sum(name.endswith("attn2") for name, _ in self.named_modules())


def embedder(condition: Learned | Frozen, *, width: int) -> nn.Module:
    """From the vectors of a condition, one after the other, to *width* entries."""
    if isinstance(condition, Learned):
        return nn.Identity()  # learned in the width that is wanted
    return nn.Linear(condition.num_tokens * condition.dim, width)


def refuse_unconditioned(network: Any, *, expected: int) -> None:
    """Stop where the layers that read the condition are not those that the spec asks for.

    Raises:
        RunError: saying how many there are, and how many should be.
    """
    found = network.cross_attention_layers()
    if found != expected:
        msg = f"network: {found} layers attend to the condition, expected {expected}"
        raise RunError(msg)


def _attending_layers(spec: spec_conditional.UNet2DConditional) -> int:
    """A transformer after each block of a stage that attends: down, in the middle and up."""
    if spec.enters == "embedding":
        return 0
    layers = spec.layers_per_block
    return 1 + sum(layers + layers + 1 for attends in spec.attention if attends)


def _settings(
    spec: spec_conditional.UNet2DConditional, shape: tuple[int, int, int]
) -> dict[str, Any]:
    channels, height, width = shape
    return {
        "sample_size": (height, width),
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": spec.channels,
        "layers_per_block": spec.layers_per_block,
        "norm_num_groups": spec.norm_groups,
        "dropout": spec.dropout,
    }


def _adding(
    spec: spec_conditional.UNet2DConditional, shape: tuple[int, int, int], *, dim: int
) -> Any:
    del dim
    ensure_torchvision_importable()
    from diffusers import UNet2DModel

    return UNet2DModel(  # type: ignore[no-untyped-call]
        **_settings(spec, shape),
        down_block_types=_blocks(spec.attention, "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=_blocks(spec.attention[::-1], "AttnUpBlock2D", "UpBlock2D"),
        add_attention=any(spec.attention),
        class_embed_type="identity",
    )


def _attending(
    spec: spec_conditional.UNet2DConditional, shape: tuple[int, int, int], *, dim: int
) -> Any:
    ensure_torchvision_importable()
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(  # type: ignore[no-untyped-call]
        **_settings(spec, shape),
        down_block_types=_blocks(spec.attention, "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=_blocks(spec.attention[::-1], "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=dim,
        attention_head_dim=HEADS,  # by this name diffusers counts heads here
    )


def _blocks(attention: tuple[bool, ...], attending: str, plain: str) -> tuple[str, ...]:
    return tuple(attending if attends else plain for attends in attention)
