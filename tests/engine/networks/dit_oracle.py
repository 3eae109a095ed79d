"""The generator of the drifting paper once more, image by image and head by head, in numpy float64.

Written from the published description alone: rotations are complex numbers, the softmax is spelled
out, patches are cut one by one. `repro.engine.networks.dit` must agree with it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from repro.spec.network import Dit

Array = NDArray[np.float64]
EPS = 1e-6


def reference_image(
    spec: Dit, weights: Mapping[str, Array], noise: Array, *, label: int, alpha: float, style: Any
) -> Array:
    """One image [C, H, W] of its noise; *weights* are named as the network names them."""
    w = weights
    p, num_registers = spec.patch_size, spec.num_registers
    rows, columns = noise.shape[1] // p, noise.shape[2] // p
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    told = condition(spec, w, label=label, alpha=alpha, style=style)
    patches = [
        noise[:, p * row : p * (row + 1), p * column : p * (column + 1)].transpose(1, 2, 0).ravel()
        for row, column in cells
    ]
    x = dense(w, "patch_embedding", np.stack(patches)) + w.get("position_embedding", 0.0)
    places = [*[(0, 0)] * num_registers, *cells]
    if num_registers:
        first = dense(w, "registers.projection", told) + w["registers.embedding"]
        x = np.concatenate([first, x])
    for index in range(spec.depth):
        x = block(spec, w, f"blocks.{index}", x, told, places)
    shift, scale = np.split(dense(w, "head.modulation", silu(told)), 2)
    x = norm(spec, x[num_registers:], w.get("head.norm.weight", 1.0)) * (1 + scale) + shift
    image = np.empty(noise.shape)
    for (row, column), patch in zip(cells, dense(w, "head.projection", x), strict=True):
        image[:, p * row : p * (row + 1), p * column : p * (column + 1)] = patch.reshape(
            p, p, -1
        ).transpose(2, 0, 1)
    return image


def condition(spec: Dit, w: Mapping[str, Array], *, label: int, alpha: float, style: Any) -> Array:
    """Class vector, one vector from the table of every style token, and the vector of alpha."""
    out: Array = w["conditioning.class_embedding"][label].copy()
    for token in range(spec.num_style_tokens):
        table = w["conditioning.style_embedding.codes"].reshape(
            spec.num_style_tokens, -1, len(out)
        )[token]
        out += table[style[token]]
    if spec.alpha_embedding == "none":
        return out
    given = np.array([alpha])
    if spec.alpha_embedding == "sinusoid":
        turns = alpha * 10_000.0 ** (-np.arange(128) / 128)
        given = np.concatenate([np.cos(turns), np.sin(turns)])
    hidden = silu(dense(w, "conditioning.alpha_embedding.inner", given))
    vector = dense(w, "conditioning.alpha_embedding.outer", hidden)
    scaled = (
        vector / np.sqrt(np.mean(vector**2) + EPS) * w["conditioning.alpha_embedding.norm.weight"]
    )
    told: Array = out + 0.02 * scaled
    return told


def block(
    spec: Dit, w: Mapping[str, Array], name: str, x: Array, told: Array, places: list[Any]
) -> Array:
    modulation = np.split(dense(w, f"{name}.modulation", silu(told)), 6)
    shift, scale, gate = modulation[:3]
    normed = norm(spec, x, w.get(f"{name}.attention_norm.weight", 1.0)) * (1 + scale) + shift
    x = x + gate * attention(spec, w, f"{name}.attention", normed, places)
    shift, scale, gate = modulation[3:]
    normed = norm(spec, x, w.get(f"{name}.feed_forward_norm.weight", 1.0)) * (1 + scale) + shift
    hidden = dense(w, f"{name}.feed_forward.up", normed)
    if spec.feed_forward == "swiglu":
        first, second = np.split(hidden, 2, axis=1)
        hidden = silu(first) * second
    else:
        hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    return np.asarray(x + gate * dense(w, f"{name}.feed_forward.down", hidden))


def attention(spec: Dit, w: Mapping[str, Array], name: str, x: Array, places: list[Any]) -> Array:
    queries, keys, values = np.split(dense(w, f"{name}.qkv", x), 3, axis=1)
    heads = []
    for head in range(spec.num_heads):
        part = slice(head * spec.head_dim, (head + 1) * spec.head_dim)
        query, key = (
            turned(spec, normalized(spec, w, f"{name}.{which}_norm", vectors[:, part]), places)
            for which, vectors in (("query", queries), ("key", keys))
        )
        logits = query @ key.T / np.sqrt(spec.head_dim)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        heads.append(odds / odds.sum(axis=1, keepdims=True) @ values[:, part])
    return dense(w, f"{name}.output", np.concatenate(heads, axis=1))


def normalized(spec: Dit, w: Mapping[str, Array], name: str, vectors: Array) -> Array:
    match spec.qk_norm:
        case "rms":
            size = np.sqrt(np.mean(vectors**2, axis=1, keepdims=True) + EPS)
            return np.asarray(vectors / size * w[f"{name}.weight"])
        case "unit":
            return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        case "none":
            return vectors


def turned(spec: Dit, vectors: Array, places: list[Any]) -> Array:
    """Rotary embedding: the halves of a vector are real and imaginary parts."""
    half = spec.head_dim // 2
    if spec.rope == "none":
        return vectors
    if spec.rope == "1d":
        turns = np.arange(len(vectors))[:, None] * 10_000.0 ** (-np.arange(half) / half)
    else:
        frequencies = 10_000.0 ** (-np.arange(half // 2) / (half // 2))
        turns = np.stack(
            [np.concatenate([row * frequencies, column * frequencies]) for row, column in places]
        )
    rotated = (vectors[:, :half] + 1j * vectors[:, half:]) * np.exp(1j * turns)
    return np.concatenate([rotated.real, rotated.imag], axis=1)


def norm(spec: Dit, x: Array, weight: Array | float) -> Array:
    if spec.norm == "layer":
        x = x - x.mean(axis=1, keepdims=True)
    return np.asarray(x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + EPS) * weight)


def dense(w: Mapping[str, Array], name: str, x: Array) -> Array:
    return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))
