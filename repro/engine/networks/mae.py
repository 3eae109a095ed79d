"""The masked autoencoder whose maps are features: a residual network and a decoder with skips.

Deng et al. 2026, appendix A.3, with what only the authors' code says: the shortcuts, the groups,
the extra normalization after every stage, and the parts of the decoder.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from repro.errors import RunError
from repro.spec import network as spec_network
from repro.spec.encoder import mae_taps
from repro.spec.layout import LEAST_GRID

MAX_GROUPS = 32
STEM = "conv1"


def mae(spec: spec_network.Mae, shape: tuple[int, int, int]) -> "Mae":
    """The untrained autoencoder of images of *shape* (channels, height, width).

    Raises:
        RunError: when patches do not divide the sides, or are too few.
    """
    _, height, width = shape
    if height % spec.patch or width % spec.patch:
        msg = f"network.patch: {spec.patch} does not divide {height} x {width}"
        raise RunError(msg)
    if min(height, width) < LEAST_GRID * spec.patch:
        msg = f"network.patch: {spec.patch} leaves {height} x {width} too small to halve"
        raise RunError(f"{msg} three times; expected at least {LEAST_GRID} patches a side")
    return Mae(spec, shape[0])


def patchified(images: Tensor, patch: int) -> Tensor:
    """Images [B, C, H, W] as [B, C x patch^2, H / patch, W / patch]."""
    return pixel_unshuffle(images, patch)


class Mae(nn.Module):
    """Encoder, decoder, and a classifier if the spec asks for one."""

    def __init__(self, spec: spec_network.Mae, channels: int) -> None:
        super().__init__()
        self.encoder = MaeEncoder(spec, channels)
        self.decoder = MaeDecoder(spec.width, channels * spec.patch**2)
        self.classifier = nn.Linear(8 * spec.width, spec.num_classes) if spec.num_classes else None

    def forward(self, grid: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """What *grid* [B, C, H, W] is restored to where *hidden* [B, 1, H, W], and class logits.

        *grid* is what `patchified` gives. The hidden places are zero for the encoder; logits
        [B, num_classes] come from the mean of its last map, or are None.
        """
        maps = self.encoder.maps(grid.masked_fill(hidden, 0.0), self.encoder.taps)
        restored: Tensor = self.decoder(maps)
        if self.classifier is None:
            return restored, None
        return restored, self.classifier(maps["layer4"].mean(dim=(2, 3)))


class MaeEncoder(nn.Module):
    """A stem and four stages of residual blocks; the part that features are taken from.

    Its maps are the stem's (`conv1`), the output of every second block of a stage (`layer1_blk2`),
    and each stage's normalized output (`layer1`), which the next stage receives.
    """

    def __init__(self, spec: spec_network.Mae, channels: int) -> None:
        super().__init__()
        self.patch = spec.patch
        self.layers = nn.ModuleDict(dict(_layers(spec, channels * spec.patch**2)))
        self.taps = mae_taps(spec.blocks)

    def prepared(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] with the pixels of each patch as channels."""
        return patchified(images, self.patch)

    def maps(self, prepared: Tensor, wanted: Collection[str]) -> Mapping[str, Tensor]:
        """The wanted maps [B, C, H, W] of what `prepared` gave; it goes no deeper than they lie."""
        found: dict[str, Tensor] = {}
        x = prepared
        for name, layer in self.layers.items():
            x = layer(x)
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found


class MaeDecoder(nn.Module):
    """From the last map back to the input's size, joined by an earlier map at each of four steps.

    The steps put out 4, 2, 1 and 1 times *width* channels; the last, at the stem's size, does not
    enlarge.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.bottom = nn.Sequential(*_normalized_conv(8 * width, 8 * width, size=3), nn.ReLU())
        outer = (8 * width, 4 * width, 2 * width, width, width)
        skips = (4 * width, 2 * width, width, width)
        self.steps = nn.ModuleList(
            DecoderStep(inner, skip, out)
            for (inner, out), skip in zip(pairwise(outer), skips, strict=True)
        )
        self.head = nn.Conv2d(width, channels, 1)

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        x = self.bottom(maps["layer4"])
        for step, skip in zip(self.steps, ("layer3", "layer2", "layer1", STEM), strict=True):
            x = step(x, maps[skip])
        restored: Tensor = self.head(x)
        return restored


class DecoderStep(nn.Module):
    """Enlarge to the size of *skip*, join it, normalize, and convolve twice."""

    def __init__(self, inner: int, skip: int, outer: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _group_norm(inner + skip),
            *_normalized_conv(inner + skip, outer, size=3),
            nn.ReLU(),
            *_normalized_conv(outer, outer, size=3),
            nn.ReLU(),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        enlarged = interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
        joined: Tensor = self.body(torch.cat([enlarged, skip], dim=1))
        return joined


def _layers(spec: spec_network.Mae, channels: int) -> Iterator[tuple[str, nn.Module]]:
    """The encoder's layers in order, each by the name of the map that it puts out."""
    yield STEM, nn.Sequential(*_normalized_conv(channels, spec.width, size=3), nn.ReLU())
    inner = spec.width
    for stage, num_blocks in enumerate(spec.blocks, start=1):
        outer = spec.width * 2 ** (stage - 1)
        for block in range(1, num_blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            yield f"layer{stage}_blk{block}", BasicBlock(inner, outer, stride=stride)
            inner = outer
        yield f"layer{stage}", _group_norm(outer)


class BasicBlock(nn.Module):
    """Two convolutions beside a skip; the first has the stride."""

    def __init__(self, inner: int, outer: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_normalized_conv(inner, outer, size=3, stride=stride),
            nn.ReLU(),
            *_normalized_conv(outer, outer, size=3),
        )
        changes = inner != outer or stride > 1
        self.skip = (
            nn.Sequential(*_normalized_conv(inner, outer, size=1, stride=stride))
            if changes
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def _normalized_conv(inner: int, outer: int, *, size: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without bias, which the normalization after it has."""
    conv = nn.Conv2d(inner, outer, size, stride=stride, padding=size // 2, bias=False)
    return [conv, _group_norm(outer)]


def _group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or as many as there are channels; for other widths the most that divide both."""
    return nn.GroupNorm(math.gcd(MAX_GROUPS, channels), channels)
