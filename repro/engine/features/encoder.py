"""A frozen network as a feature encoder: the vectors of its maps, under one key each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from repro.engine.features.maps import map_vectors, norm_x
from repro.errors import RunError
from repro.spec.map_keys import MapKeys
from repro.spec.problems import choice


class FeatureEncoder(Protocol):
    """What samples are compared by: a frozen module with `features`."""

    def features(self, images: Tensor) -> Mapping[str, Tensor]:
        """Vectors [B, L, C] under each key, of images [B, C, H, W] in [-1, 1]."""
        ...

    def eval(self) -> nn.Module: ...

    def requires_grad_(self, requires_grad: bool = ...) -> nn.Module: ...  # noqa: FBT001 - torch's


class SeveralFeatures(nn.Module):
    """The features of several encoders; each key begins with the name of its encoder."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Vectors [B, L, C] under each key, of images [B, C, H, W] in [-1, 1]."""
        encoders: Mapping[str, Any] = dict(self.encoders.items())
        return {
            f"{name}/{key}": vectors
            for name, encoder in encoders.items()
            for key, vectors in encoder.features(images).items()
        }


class MapNetwork(Protocol):
    """A network whose intermediate maps have names."""

    @property
    def taps(self) -> Sequence[str]:
        """The names of its maps, in the order of the network."""
        ...

    def prepared(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] as the first layer takes them, [B, C, H, W]."""
        ...

    def maps(self, prepared: Tensor, wanted: Collection[str]) -> Mapping[str, Tensor]:
        """The wanted maps [B, C, H, W]."""
        ...


class MapFeatures(nn.Module):
    """The vectors of a network's maps that *keys* ask for, and the norms of its input's channels.

    Raises:
        RunError: when a key names a map that the network does not have.
    """

    def __init__(self, network: MapNetwork, keys: Sequence[MapKeys], *, norm_x: bool) -> None:
        super().__init__()
        self.network = network
        self.norm_x = norm_x
        self.keys = [(each.taps or tuple(network.taps), each.statistics) for each in keys]
        self.wanted = {tap for taps, _ in self.keys for tap in taps}
        if unknown := sorted(self.wanted - set(network.taps)):
            listed = "; ".join(f"no map {tap!r}, {choice(tap, network.taps)}" for tap in unknown)
            raise RunError(f"encoder.features: {listed}")

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Vectors [B, L, C] under each key, of images [B, C, H, W] in [-1, 1]."""
        prepared = self.network.prepared(images)
        maps = self.network.maps(prepared, self.wanted)
        features = {"norm_x": norm_x(prepared)} if self.norm_x else {}
        for taps, statistics in self.keys:
            for tap in taps:
                features.update(map_vectors(tap, maps[tap], statistics))
        return features
