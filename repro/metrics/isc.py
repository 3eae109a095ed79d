"""Inception score (Salimans et al. 2016) from the 1008 logits without their bias, as published."""

import itertools

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@frozen(kw_only=True)
class InceptionScore:
    """Mean over splits, and the standard deviation over splits that the literature prints."""

    value: float
    split_sd: float


def measure(logits: NDArray[np.floating], *, splits: int = 10, seed: int = 2020) -> InceptionScore:
    """The score of logits [n, 1008], shuffled first: sorted classes would give another number.

    Raises:
        ValueError: if there are fewer images than splits.
    """
    count = len(logits)
    if count < splits:
        msg = f"an inception score over {splits} splits needs {splits} images, got {count}"
        raise ValueError(msg)
    order = np.random.RandomState(seed).permutation(count)
    log_p = _log_softmax(logits[order].astype(np.float64))
    bounds = [index * count // splits for index in range(splits + 1)]
    scores = [_score(log_p[start:stop]) for start, stop in itertools.pairwise(bounds)]
    return InceptionScore(value=float(np.mean(scores)), split_sd=float(np.std(scores)))


def _score(log_p: Floats) -> float:
    p = np.exp(log_p)
    divergence = p * (log_p - np.log(p.mean(axis=0)))
    return float(np.exp(divergence.sum(axis=1).mean()))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
