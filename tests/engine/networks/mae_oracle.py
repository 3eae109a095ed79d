"""The masked autoencoder once more, image by image, in numpy float64.

Written from the published description alone: convolutions are sums over shifted maps, the enlarging
is a matrix of the weights of the two nearest pixel centres. `repro.engine.networks.mae` must agree
with it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from repro.spec.network import Mae

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
EPS = 1e-5
STAGE_ENDS = ("layer3", "layer2", "layer1", "conv1")


def reference_maps(spec: Mae, w: Weights, grid: Array) -> dict[str, Array]:
    """Every map [C, H, W] of the encoder under its name, of one input *grid* [C, H, W]."""
    x = np.maximum(normalized_conv(w, "encoder.layers.conv1", 0, grid), 0)
    maps = {"conv1": x}
    for stage, num_blocks in enumerate(spec.blocks, start=1):
        for block in range(1, num_blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = basic_block(w, f"encoder.layers.layer{stage}_blk{block}", x, stride)
            if block % 2 == 0:
                maps[f"layer{stage}_blk{block}"] = x
        x = group_norm(w, f"encoder.layers.layer{stage}", x)
        maps[f"layer{stage}"] = x
    return maps


def reference_restored(w: Weights, maps: Mapping[str, Array]) -> Array:
    """What the decoder makes of the maps: [C, H, W]."""
    x = np.maximum(normalized_conv(w, "decoder.bottom", 0, maps["layer4"]), 0)
    for step, name in enumerate(STAGE_ENDS):
        skip, body = maps[name], f"decoder.steps.{step}.body"
        x = np.concatenate([enlarged(x, skip.shape[1:]), skip])
        x = group_norm(w, f"{body}.0", x)
        x = np.maximum(normalized_conv(w, body, 1, x), 0)
        x = np.maximum(normalized_conv(w, body, 4, x), 0)
    restored = conv(w["decoder.head.weight"], x) + w["decoder.head.bias"][:, None, None]
    return np.asarray(restored)


def basic_block(w: Weights, name: str, x: Array, stride: int) -> Array:
    inner = np.maximum(normalized_conv(w, f"{name}.body", 0, x, stride), 0)
    outer = normalized_conv(w, f"{name}.body", 3, inner)
    changed = stride > 1 or len(outer) != len(x)
    return np.maximum(
        outer + (normalized_conv(w, f"{name}.skip", 0, x, stride) if changed else x), 0
    )


def normalized_conv(w: Weights, name: str, index: int, x: Array, stride: int = 1) -> Array:
    return group_norm(w, f"{name}.{index + 1}", conv(w[f"{name}.{index}.weight"], x, stride))


def conv(kernel: Array, x: Array, stride: int = 1) -> Array:
    """Cross-correlation with as many zeros around the map as keep its size."""
    size, (height, width) = kernel.shape[2], x.shape[1:]
    padded = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2))
    whole = sum(
        np.tensordot(kernel[:, :, i, j], padded[:, i : i + height, j : j + width], axes=1)
        for i in range(size)
        for j in range(size)
    )
    return np.asarray(whole)[:, ::stride, ::stride]


def group_norm(w: Weights, name: str, x: Array) -> Array:
    groups = x.reshape(min(32, len(x)), -1)
    scaled = (groups - groups.mean(axis=1, keepdims=True)) / np.sqrt(
        groups.var(axis=1, keepdims=True) + EPS
    )
    weight, bias = (w[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
    return np.asarray(scaled.reshape(x.shape) * weight + bias)


def enlarged(x: Array, sides: tuple[int, ...]) -> Array:
    """Bilinear, pixel centres at halves, the border repeated."""
    rows, columns = (
        resizing(before, after) for before, after in zip(x.shape[1:], sides, strict=True)
    )
    return np.asarray(rows @ x @ columns.T)


def resizing(before: int, after: int) -> Array:
    matrix = np.zeros((after, before))
    for place in range(after):
        centre = min(max((place + 0.5) * before / after - 0.5, 0), before - 1)
        low = min(int(centre), max(before - 2, 0))
        matrix[place, low] += 1 - (centre - low)
        if before > 1:
            matrix[place, low + 1] += centre - low
    return matrix
