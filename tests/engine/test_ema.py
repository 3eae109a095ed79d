"""The averaged weights follow the law that the spec names."""

import pytest
import torch

from repro.engine.ema import decay_at, follow, shadow_of
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.train import ConstantEma, HalfLifeEma, WarmupEma


def test_constant_decay_from_zero():
    """After n updates towards one the shadow is 1 - decay^n."""
    weights = {"w": torch.zeros(1, dtype=torch.float64)}
    shadow = shadow_of(weights)
    weights["w"].fill_(1)

    for step in range(50):
        follow(shadow, weights, decay=decay_at(ConstantEma(decay=0.999), step=step))

    assert float(shadow["w"]) == pytest.approx(1 - 0.999**50, abs=1e-12)


def test_warm_up_law():
    """The decay starts at a tenth and stops growing at its bound."""
    law = WarmupEma(decay=0.98)

    assert [decay_at(law, step=step) for step in (0, 9, 99, 10_000)] == [
        1 / 10,
        10 / 19,
        100 / 109,
        0.98,
    ]


def test_warm_up_law_of_diffusers():
    """Beyond its first update the law is that of `EMAModel` at its default."""
    ensure_torchvision_importable()
    from diffusers.training_utils import EMAModel

    peer = EMAModel([torch.nn.Parameter(torch.zeros(1))], decay=0.98)

    ours = [decay_at(WarmupEma(decay=0.98), step=step) for step in range(1, 300)]

    assert ours == [peer.get_decay(step + 1) for step in range(1, 300)]


def test_counters_are_copied():
    """A whole number has no average."""
    weights = {"count": torch.tensor(7)}
    shadow = {"count": torch.tensor(0)}

    follow(shadow, weights, decay=0.9)

    assert shadow == {"count": torch.tensor(7)}


def test_a_half_life_is_counted_in_images():
    """Golden (Karras et al. 2022): the first copies; then 0.05 of those seen, at most."""
    law = HalfLifeEma(images=500_000, ramp=0.05)

    assert decay_at(law, step=0, num_images=512) == 0.0
    assert decay_at(law, step=100, num_images=512) == 0.5 ** (512 / (0.05 * 51_200))
    assert decay_at(law, step=10**6, num_images=512) == 0.5 ** (512 / 500_000)
