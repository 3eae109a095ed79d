"""What classes are told as: how alike the vectors are, and a map of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from repro.engine.networks.condition import cosines
from repro.engine.probes.pictures import scatter
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.spec.probes.denoising import ConditionMap


def condition_map(spec: ConditionMap, subject: Subject) -> Findings:
    """Cosines between classes and to the null token, and where t-SNE puts them all."""
    network: Any = subject.network()
    table: torch.Tensor = network.condition.table().cpu()
    alike = cosines(table).numpy().astype(np.float64)
    places = embedded(table.numpy(), perplexity=spec.perplexity, seed=spec.seed)
    names = [*(str(number) for number in range(len(table) - 1)), "none"]
    return Findings(
        values=likeness(alike),
        files=(
            Left(
                role="map",
                name="condition-map.png",
                data=scatter(places, names),
                media_type="image/png",
            ),
            Left(
                role="table",
                name="condition.safetensors",
                data=save({"table": table.numpy(), "cosines": alike, "places": places}),
            ),
        ),
    )


def likeness(alike: NDArray[np.float64]) -> tuple[Value, ...]:
    """Mean, least and largest cosine of two classes, and the mean to the null token, the last."""
    classes = alike[:-1, :-1][np.triu_indices(len(alike) - 1, 1)]
    found = {
        "cosine_mean": classes.mean(),
        "cosine_min": classes.min(),
        "cosine_max": classes.max(),
        "cosine_to_null": alike[-1, :-1].mean(),
    }
    num = len(alike) - 1
    return tuple(
        Value(metric=name, value=float(each), num=num, unit="cosine")
        for name, each in found.items()
    )


def embedded(table: NDArray[np.float32], *, perplexity: float, seed: int) -> NDArray[np.float64]:
    """Places [N, 2] of vectors [N, D] by t-SNE (van der Maaten & Hinton 2008), from their PCA."""
    from sklearn.manifold import TSNE

    law = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    places: NDArray[np.float64] = law.fit_transform(table).astype(np.float64)
    return places
