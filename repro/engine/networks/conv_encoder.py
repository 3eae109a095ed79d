"""A small residual classifier whose stages, once it is trained and frozen, are features."""

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

from repro.engine.features.maps import EPS, map_vectors, norm_x
from repro.engine.networks.conv_generator import num_groups
from repro.engine.networks.rounded import rounded
from repro.spec import network as spec_network

LOCATIONS_PER_SIDE = 4


def conv_encoder(
    spec: spec_network.ConvEncoder, shape: tuple[int, int, int], num_classes: int
) -> "ConvEncoder":
    """The encoder of images of *shape* (channels, height, width), untrained."""
    return ConvEncoder(spec, shape[0], num_classes)


class ConvEncoder(nn.Module):
    """One residual block for each stage; every stage after the first halves the sides.

    Group normalization keeps an image's features independent of its batch.
    """

    def __init__(self, spec: spec_network.ConvEncoder, channels: int, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        widths = (spec.channels[0], *spec.channels)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            ResidualBlock(inner, outer, stride=1 if index == 0 else 2)
            for index, (inner, outer) in enumerate(pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits [B, num_classes] of images [B, C, H, W] in [-1, 1]."""
        logits: Tensor = self.head(self.maps(x)[-1].mean(dim=(2, 3)))
        return logits

    def maps(self, x: Tensor) -> list[Tensor]:
        """The output [B, C, H, W] of every stage, in float32."""
        maps = []
        with rounded(x, self.spec.precision):
            x = self.stem(x)
            for stage in self.stages:
                x = stage(x)
                maps.append(x.float())
        return maps

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """What images [B, C, H, W] are compared by: vectors [B, L, C] under each key.

        `norm_x` is the root mean square of every input channel. Each stage gives what the spec
        names; or else the vectors at up to 4 x 4 of its places, and their mean and standard
        deviation over the whole map.
        """
        maps = {f"stage{index}": each for index, each in enumerate(self.maps(x), start=1)}
        features = {"norm_x": norm_x(x)}
        for keys in self.spec.features:
            for tap in keys.taps or maps:
                features.update(map_vectors(tap, maps[tap], keys.statistics))
        return features if self.spec.features else {**features, **_few_vectors(maps)}


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip; the first has the stride."""

    def __init__(self, inner: int, outer: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(num_groups(inner), inner),
            nn.SiLU(),
            nn.Conv2d(inner, outer, 3, stride=stride, padding=1),
            nn.GroupNorm(num_groups(outer), outer),
            nn.SiLU(),
            nn.Conv2d(outer, outer, 3, padding=1),
        )
        self.skip = nn.Conv2d(inner, outer, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + self.skip(x)
        return out


def _few_vectors(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    features = {}
    for name, stage in maps.items():
        variance = stage.var(dim=(2, 3), correction=0)
        features[name] = _locations(stage)
        features[f"{name}_mean"] = stage.mean(dim=(2, 3))[:, None, :]
        # Without the eps the gradient of a constant channel is not a number.
        features[f"{name}_std"] = (variance.clamp_min(0) + EPS).sqrt()[:, None, :]
    return features


def _locations(stage: Tensor) -> Tensor:
    """The vectors [B, L, C] at the places of an even grid over a map [B, C, H, W]."""
    rows, columns = (_places(side) for side in stage.shape[2:])
    return stage[:, :, rows][:, :, :, columns].flatten(2).transpose(1, 2)


def _places(side: int) -> list[int]:
    """The middles of equal parts of a side, one place each."""
    num = min(side, LOCATIONS_PER_SIDE)
    return [(2 * part + 1) * side // (2 * num) for part in range(num)]
