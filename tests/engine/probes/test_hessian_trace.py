"""The probe that asks how curved the loss is."""

from typing import Any

import numpy as np
import pytest
import torch
from attrs import Factory, frozen
from safetensors.numpy import load
from torch import nn

from repro.engine.datasets import Images
from repro.engine.networks.unet2d import unet2d
from repro.engine.objectives.denoise import denoise
from repro.engine.probes.hessian_trace import bands, hessian_trace
from repro.engine.probes.probe import Findings
from repro.engine.progress import Silent
from repro.errors import RunError
from repro.spec.network import UNet2D
from repro.spec.objective import Denoise, LinearSchedule
from repro.spec.plan import Training
from repro.spec.probes.hessian_trace import HessianTrace
from repro.spec.train import Train
from repro.spec.weighting import MinSnr

NETWORK = UNet2D(
    channels=(8, 8), attention=(False, False), layers_per_block=1, norm_groups=4, dropout=0.5
)
OBJECTIVE = Denoise(
    schedule=LinearSchedule(num_levels=50), batch_size=4, weighting=MinSnr(gamma=5.0)
)
IMAGES = Images(
    images=np.random.RandomState(0).randint(0, 256, (20, 8, 8, 1), dtype=np.uint8),
    labels=np.zeros(20, np.int64),
    num_classes=1,
    digest="sha256:0",
)


@frozen(kw_only=True, eq=False)
class Trained:
    """A small denoiser as a probe sees it."""

    objective_spec: Any = OBJECTIVE
    step: int = 3
    device: str = "cpu"
    progress: Any = Factory(Silent)

    @property
    def training(self) -> Training:
        return Training(
            network=NETWORK, objective=self.objective_spec, train=Train(steps=4, seed=0, lr=1e-3)
        )

    def network(self, which: str = "ema") -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0 if which == "raw" else 1)
            return unet2d(NETWORK, (1, 8, 8)).eval()

    def objective(self) -> Any:
        return denoise(self.objective_spec, data=IMAGES)

    def data(self) -> Images:
        return IMAGES


def asked(**told: Any) -> Findings:
    spec = HessianTrace(name="curvature", num_probes=3, **told)
    return hessian_trace(spec, Trained())  # type: ignore[arg-type]


def values(found: Findings) -> dict[str, float]:
    return {each.metric: each.value for each in found.values}


def test_what_it_says():
    """The trace with its error over probes, their spread, the loss; the probes in a file."""
    found = asked()
    kept = load(found.files[0].data)

    trace, spread, loss = found.values
    assert [each.metric for each in found.values] == ["hessian_trace", "hessian_trace_std", "loss"]
    assert trace.value == pytest.approx(kept["traces"].mean())
    assert trace.se == pytest.approx(kept["traces"].std(ddof=1) / 3**0.5)
    assert spread.value == pytest.approx(kept["traces"].std())
    assert loss.value == pytest.approx(kept["losses"].mean())


def test_asked_twice_it_says_the_same():
    """Batches and vectors come from the probe's own seed."""
    assert values(asked()) == values(asked())
    assert values(asked()) != values(asked(seed=1))


def test_one_loss_for_all_probes():
    """Without a batch of its own every probe sees the same loss; else each sees another."""
    same, own = (load(asked(resampled=resampled).files[0].data) for resampled in (False, True))

    assert len(set(same["losses"].tolist())) == 1
    assert len(set(same["traces"].tolist())) == 3
    assert len(set(own["losses"].tolist())) == 3


def test_bands_of_noise_levels():
    """Each band has its trace, loss, weight and ratio; the least noise has the most signal."""
    found = values(asked(num_bands=2))

    assert {name for name in found if "." in name} == {
        f"{metric}.{band}"
        for metric in ("hessian_trace", "hessian_trace_std", "loss", "weight", "snr")
        for band in ("0-24", "25-49")
    }
    abar = np.cumprod(1 - np.linspace(1e-4, 2e-2, 50))[25:]
    snr = abar / (1 - abar)
    assert found["snr.25-49"] == pytest.approx(np.exp(np.log(snr).mean()), rel=1e-4)
    assert found["weight.25-49"] == pytest.approx((np.minimum(snr, 5) / snr).mean(), rel=1e-4)
    assert found["snr.0-24"] > found["snr.25-49"]
    assert found["weight.0-24"] < found["weight.25-49"]
    assert len({found["loss"], found["loss.0-24"], found["loss.25-49"]}) == 3


def test_bands_cover_all_levels():
    """No level is left out and none is in two bands, whether or not the number divides."""
    assert bands(1000, 10)[3] == range(300, 400)
    assert [each for band in bands(10, 3) for each in band] == [*range(10)]


def test_other_weights_have_another_curvature():
    """The training's own weights are asked by default, the averaged ones by name."""
    assert values(asked()) == values(asked(weights="raw"))
    assert values(asked()) != values(asked(weights="ema"))


def test_an_objective_without_levels_has_no_bands():
    """What has no noise levels cannot be asked about them."""

    class Flat(Trained):
        def objective(self) -> Any:
            return object()

    spec = HessianTrace(name="curvature", num_bands=2)

    with pytest.raises(RunError, match="noise levels, which this objective has none of"):
        hessian_trace(spec, Flat())  # type: ignore[arg-type]
