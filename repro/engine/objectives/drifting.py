"""Training by drifting: regress every sample onto itself moved by the drift field."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Generator, Tensor, nn

from repro.engine.datasets import EncodedImages, Images, Points
from repro.engine.drift import Statistics, draw_alpha, drift_loss, guidance_weight
from repro.engine.drift.affinity import drift_at
from repro.engine.drift.kernels import Kernel, Move
from repro.engine.features.encoder import FeatureEncoder
from repro.engine.installed import installed_builder
from repro.engine.objectives.images import augmented, examples
from repro.engine.objectives.objective import LossOut, Objective
from repro.engine.randomness import Randomness, draw, randomness_of
from repro.engine.reals.nearest import with_nearest_positives
from repro.engine.reals.source import Reals
from repro.engine.reals.table import REALS
from repro.errors import RunError
from repro.spec.objective import AFFINITY_FLOORS, DriftField, Drifting, num_candidates


def drifting(
    spec: Drifting,
    *,
    data: Images | EncodedImages | Points,
    network_spec: Any,
    encoder: FeatureEncoder | None = None,
) -> Objective:
    """The objective of *spec* on images or on points, as the data are.

    Of the generator's spec it needs what `randomness_of` reads and, for images, `num_classes`.

    Raises:
        RunError: as `drifting_images` does.
    """
    if isinstance(data, Points):
        return drifting_points(spec, data=data, network_spec=network_spec)
    return drifting_images(spec, data=data, network_spec=network_spec, encoder=encoder)


def drifting_images(
    spec: Drifting,
    *,
    data: Images | EncodedImages,
    network_spec: Any,
    encoder: FeatureEncoder | None = None,
) -> Objective:
    """The objective of *spec* for a generator of images; *encoder* is trained, and frozen here.

    Raises:
        RunError: when the data set has fewer classes than a step draws, or more than the generator
            knows.
    """
    present = len(np.unique(data.labels))
    if spec.num_classes_per_step > present:
        msg = (
            f"objective.num_classes_per_step: {spec.num_classes_per_step}, but images of only "
            f"{present} classes are there; lower it to {present}"
        )
        raise RunError(msg)
    if network_spec.num_classes < data.num_classes:
        msg = (
            f"network.num_classes: {network_spec.num_classes}, but the data set has "
            f"{data.num_classes} classes; raise it to {data.num_classes}"
        )
        raise RunError(msg)
    if encoder is not None:
        encoder.eval().requires_grad_(requires_grad=False)
    build = REALS.get(type(spec.queue)) or installed_builder(spec.queue)
    return DriftingImages(
        spec=spec,
        data=data,
        reals=build(spec.queue, data.labels),
        randomness=randomness_of(network_spec, data.shape),
        encoder=encoder,
    )


def drifting_points(spec: Drifting, *, data: Points, network_spec: Any) -> Objective:
    """The objective of *spec* for a generator of points: one class, no guidance."""
    return DriftingPoints(spec=spec, data=data, randomness=randomness_of(network_spec, data.shape))


@frozen(kw_only=True, eq=False)
class DriftingImages:
    """Samples of each drawn class drift to reals of the class, off each other and off any reals.

    One guidance scale is drawn for each class and given to the generator; its weight on the
    unconditional reals is what trains it.
    """

    spec: Drifting
    data: Images | EncodedImages
    reals: Reals
    randomness: Randomness
    encoder: FeatureEncoder | None
    kernel: Kernel = field(factory=Kernel)

    def state(self) -> Mapping[str, Tensor]:
        return {**self.reals.state(), "drift_kernel": self.kernel.choice}

    def shown(self, values: Mapping[str, float]) -> Mapping[str, float]:
        return energies(values)

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        spec = self.spec
        device = next(network.parameters()).device
        labels = self.reals.next_labels(spec.num_classes_per_step, generator=generator)
        alpha = draw_alpha(spec.alpha, len(labels), generator=generator)
        drawn = self.reals.draw(
            labels,
            num_own=num_candidates(spec),
            num_any=spec.num_unconditional,
            generator=generator,
        )
        chosen = drawn.numbers.flatten().numpy()
        reals = augmented(
            examples(self.data, chosen, generator=generator).to(device),
            least_area=spec.least_area,
            flip=spec.flip,
            generator=generator,
        )
        num_samples = len(labels) * spec.num_generated
        noise, *style = draw(self.randomness, num_samples, generator=generator)
        samples = network(
            noise.to(device),
            labels.repeat_interleave(spec.num_generated).to(device),
            alpha.repeat_interleave(spec.num_generated).to(device),
            *(each.to(device) for each in style),
        )
        generated = self._features(samples)
        with torch.no_grad():
            real_features = with_nearest_positives(
                spec, generated=generated, reals=self._features(reals)
            )
        alpha = alpha.to(device)

        def with_move(move: Move) -> LossOut:
            return summed_loss(
                spec, generated=generated, reals=dict(real_features), alpha=alpha, move=move
            )

        move = self.kernel.chosen(device, with_move)
        out = summed_loss(spec, generated=generated, reals=real_features, alpha=alpha, move=move)
        return evolve(out, values={**out.values, **drawn.underflow})

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        """Vectors [B, L, C] under the key of every space in which samples drift."""
        features = {}
        if "pixels" in self.spec.features:
            features["pixels"] = images.flatten(1)[:, None, :]
        if self.encoder is not None:
            features |= self.encoder.features(images)
        return features


@frozen(kw_only=True, eq=False)
class DriftingPoints:
    """Samples drift to fresh points and off each other."""

    spec: Drifting
    data: Points
    randomness: Randomness

    def shown(self, values: Mapping[str, float]) -> Mapping[str, float]:
        return energies(values)

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        device = next(network.parameters()).device
        points = self.data.draw(self.spec.num_positive, generator).to(device)
        (noise,) = draw(self.randomness, self.spec.num_generated, generator=generator)
        samples = network(noise.to(device))
        return summed_loss(
            self.spec,
            generated={"pixels": samples[:, None]},
            reals={"pixels": points[:, None]},
            alpha=torch.ones(1, device=device),
        )


def summed_loss(
    spec: Drifting,
    *,
    generated: Mapping[str, Tensor],
    reals: MutableMapping[str, Tensor],
    alpha: Tensor,
    move: Move = drift_at,
) -> LossOut:
    """The drift losses of all keys, summed.

    Under each key *generated* is [classes x N, L, C] and *reals* [classes x (P + U), L, C], the
    positives of a class first; *alpha* is [classes]. The reals of a key leave *reals* when it has
    had its turn, so that their memory can be used for the gradients of the generated vectors. The
    values are `energy/<key>/<temperature>` and `scale/<key>`.
    """
    weights = guidance_weight(
        alpha, num_generated=spec.num_generated, num_unconditional=spec.num_unconditional
    )[:, None].expand(-1, spec.num_unconditional)
    losses, told = [], {}
    for key, vectors in generated.items():
        targets = _by_class(reals.pop(key), num_classes=len(alpha))
        loss, told[key] = drift_loss(
            _by_class(vectors, num_classes=len(alpha)),
            targets[:, :, : spec.num_positive],
            targets[:, :, spec.num_positive :],
            field=field_of(spec, key),
            weights=weights,
            over_locations=spec.over_locations,
            move=move,
        )
        losses.append(loss)
    return LossOut(loss=torch.stack(losses).sum(), values=_values(spec, told))


def energies(values: Mapping[str, float]) -> dict[str, float]:
    """The energy at each temperature, its mean over all keys: what falls, where the loss is flat.

    With it how many draws of reals had to repeat some, if any.
    """
    found: dict[str, list[float]] = {}
    for name, value in values.items():
        if name.startswith("energy/"):
            found.setdefault(f"energy/{name.rpartition('/')[2]}", []).append(value)
    repeated = sum(value for name, value in values.items() if name.startswith("underflow/"))
    means = {at: sum(each) / len(each) for at, each in found.items()}
    return {**means, "underflow": repeated} if repeated else means


def field_of(spec: Drifting, key: str) -> DriftField:
    """How vectors under *key* drift. The floor of another rule is that rule's own."""
    rule = spec.pixels_rule
    if key != "pixels" or rule is None or rule == spec.rule:
        return spec
    return evolve(spec, rule=rule, affinity_floor=AFFINITY_FLOORS[rule])


def _values(spec: Drifting, told: Mapping[str, Statistics]) -> dict[str, float]:
    """The statistics by name, each the mean of its groups, in one transfer from the device."""
    names = [
        name
        for key in told
        for name in (f"scale/{key}", *(f"energy/{key}/{each:g}" for each in spec.temperatures))
    ]
    means = [
        torch.cat([each.scale[None], each.energies]).mean(dim=1).double() for each in told.values()
    ]
    return dict(zip(names, torch.cat(means).tolist(), strict=True))


def _by_class(vectors: Tensor, *, num_classes: int) -> Tensor:
    """A view of [classes x S, L, C] as [classes, L, S, C]."""
    return vectors.view(num_classes, -1, *vectors.shape[1:]).transpose(1, 2)
