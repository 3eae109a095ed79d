"""What a generator is told beside its noise, as one vector: class, style, guidance scale."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.engine.networks.dense import Linear, table
from repro.engine.networks.positions import angles
from repro.spec import network as spec_network

STD = 0.02  # of every table and of the layers of alpha, when they start
NUM_SINES = 128
ALPHA_SCALE = 0.02
EPS = 1e-6


class Conditioning(nn.Module):
    """The sum of a class vector, one vector for each style index, and that of alpha."""

    def __init__(self, spec: spec_network.Dit, width: int) -> None:
        super().__init__()
        self.class_embedding = table(spec.num_classes, width, std=STD)
        self.style_embedding = StyleEmbedding(spec, width) if spec.num_style_tokens else None
        self.alpha_embedding = (
            None if spec.alpha_embedding == "none" else AlphaEmbedding(spec.alpha_embedding, width)
        )

    def forward(self, labels: Tensor, alpha: Tensor, style: Tensor | None) -> Tensor:
        """[B, width] of *labels* [B], *alpha* [B] and, where there are any, *style* [B, tokens]."""
        out = functional.embedding(labels, self.class_embedding)
        if self.style_embedding is not None:
            out = out + self.style_embedding(style)
        if self.alpha_embedding is not None:
            out = out + self.alpha_embedding(alpha)
        return out


class StyleEmbedding(nn.Module):
    """A table of codes for each style token, one after the other; the chosen vectors are summed."""

    first: Tensor

    def __init__(self, spec: spec_network.Dit, width: int) -> None:
        super().__init__()
        self.codes = table(spec.num_style_tokens * spec.num_style_codes, width, std=STD)
        first = torch.arange(spec.num_style_tokens) * spec.num_style_codes
        self.register_buffer("first", first, persistent=False)

    def forward(self, style: Tensor) -> Tensor:
        """[B, width] of indices [B, tokens], each below the number of codes."""
        return functional.embedding_bag(style + self.first, self.codes, mode="sum")


class AlphaEmbedding(nn.Module):
    """Two dense layers on alpha, or on its cosines and sines, normalized and made small."""

    def __init__(self, kind: Literal["sinusoid", "raw"], width: int) -> None:
        super().__init__()
        self.sinusoid = kind == "sinusoid"
        self.inner = Linear(2 * NUM_SINES if self.sinusoid else 1, width)
        self.outer = Linear(width, width)
        self.norm = nn.RMSNorm(width, eps=EPS)
        for layer in (self.inner, self.outer):
            nn.init.normal_(layer.weight, std=STD)

    def forward(self, alpha: Tensor) -> Tensor:
        """[B, width] of guidance scales [B]."""
        given = alpha[:, None]
        if self.sinusoid:
            turned = angles(alpha, NUM_SINES)
            given = torch.cat([turned.cos(), turned.sin()], dim=1)
        normalized: Tensor = self.norm(self.outer(functional.silu(self.inner(given))))
        return ALPHA_SCALE * normalized
