"""An autoencoder learns to restore images, and its latents are a data set of their own."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from repro.engine.networks.kl_autoencoder import kl_autoencoder
from repro.engine.objectives.kl_autoencoding import divergence_from_normal, kl_autoencoding
from repro.engine.run import run
from repro.engine.seeds import seeded
from repro.errors import RunError
from repro.ledger import history, store
from repro.spec import load, stages
from repro.spec.autoencoder import KlArchitecture
from repro.spec.kl import KlAutoencoder, KlAutoencoding
from tests.engine.objectives.test_denoise import WHITE

VALID = Path(__file__).parents[2] / "data" / "valid"
SMALL = KlAutoencoder(
    architecture=KlArchitecture(channels=(4, 8), layers_per_block=1, norm_groups=2)
)


def test_divergence_of_a_normal_from_itself_is_nothing():
    """And of N(1, e^2 variance) half of 1 + e^2 - 1 - 2."""
    assert divergence_from_normal(torch.zeros(3), torch.zeros(3)) == 0
    found = divergence_from_normal(torch.ones(3), torch.full((3,), 2.0))
    assert float(found) == pytest.approx(0.5 * (1 + math.e**2 - 1 - 2))


def test_only_rgb_images_that_can_be_halved():
    """Grey ones have another number of channels than the network takes."""
    with pytest.raises(RunError, match=r"RGB images whose sides 2 divides, got \[1, 4, 4\]"):
        kl_autoencoder(SMALL, (1, 4, 4))


def test_a_loss_is_the_error_and_its_share_of_divergence():
    """The weight of the divergence is the spec's."""
    data = type(WHITE)(
        images=np.zeros((6, 8, 8, 3), np.uint8),
        labels=np.zeros(6, np.int64),
        num_classes=1,
        digest="",
    )
    objective = kl_autoencoding(KlAutoencoding(kl_weight=0.5, batch_size=2), data=data)

    out = objective.loss(kl_autoencoder(SMALL, (3, 8, 8)), step=0, micro=0, generator=seeded("x"))

    expected = out.values["reconstruction"] + 0.5 * out.values["divergence"]
    assert float(out.loss.detach()) == pytest.approx(expected, rel=1e-5)


class Coder(nn.Module):
    """Takes every value for N(0.3, deviation^2), and what was drawn for the image."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.deviation = deviation

    def encode(self, images: Tensor) -> SimpleNamespace:
        mean = torch.full_like(images, 0.3)
        std = torch.full_like(images, self.deviation)
        return SimpleNamespace(
            latent_dist=SimpleNamespace(mean=mean, std=std, logvar=2 * std.log())
        )

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=latents)


@pytest.mark.parametrize(
    ("error", "deviation", "expected"),
    [
        ("squared", 1e-9, 1.3**2),
        ("absolute", 1e-9, 1.3),
        ("squared", 0.5, 1.3**2 + 0.5**2),
    ],
)
def test_the_error_is_that_of_what_was_drawn(error, deviation, expected):
    """Of black images, -1 everywhere; the divergence is that of the posterior, in closed form."""
    data = type(WHITE)(
        images=np.zeros((64, 32, 32, 3), np.uint8),
        labels=np.zeros(64, np.int64),
        num_classes=1,
        digest="",
    )
    spec = KlAutoencoding(error=error, kl_weight=0.5, batch_size=64)

    out = kl_autoencoding(spec, data=data).loss(
        Coder(deviation), step=0, micro=0, generator=seeded("x")
    )

    divergence = 0.5 * (0.3**2 + deviation**2 - 1 - 2 * math.log(deviation))
    assert out.values["reconstruction"] == pytest.approx(expected, rel=5e-3)
    assert out.values["divergence"] == pytest.approx(divergence, rel=1e-5)
    assert float(out.loss) == pytest.approx(expected + 0.5 * divergence, rel=5e-3)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The ledger of a denoiser whose latents come from an autoencoder that the run trains first."""
    folder = tmp_path_factory.mktemp("kl")
    (outcome,) = run(
        [VALID / "trained-latents.toml"], root=folder / "ledger", cache=folder / "cache"
    )
    assert outcome.status == "done", outcome.problems
    ledger: Path = folder / "ledger"
    return ledger


def left(root: Path, kind: str, name: str) -> history.DoneStage:
    (spec,) = load(VALID / "trained-latents.toml")
    (stage,) = [each for each in stages(spec) if (each.kind, each.name) == (kind, name)]
    return history.done_stages(root, [stage.stage_id], rehearsal=False)[stage.stage_id]


def test_latents_are_those_of_the_trained_autoencoder(root: Path):
    """Smaller by its one halving, four channels; their scale is on record."""
    encoded = left(root, "encode", "stand-in-latents")
    (shard,) = [each for each in encoded.artifacts if each.role == "latents"]
    latents = load_file(store.check(root, shard.sha256))["latents"]

    assert latents.shape == (40, 1, 4, 8, 8)
    assert encoded.event.facts["std"] == pytest.approx(float(latents.std()), rel=1e-4)
    assert encoded.event.facts["round_trip_error"] > 0


def test_latents_of_another_scale_are_refused(root: Path, tmp_path: Path):
    """A factor that was forgotten, or taken twice: schedules are made for a deviation of 1."""
    for name in ("trained-latents.toml", "kl.toml"):
        text = (VALID / name).read_text("utf-8")
        text = text.replace("scaling_factor = 1.0", "scaling_factor = 0.01")
        (tmp_path / name).write_text(text, encoding="utf-8")

    (outcome,) = run([tmp_path / "trained-latents.toml"], root=root, cache=tmp_path / "cache")

    assert outcome.status == "failed"
    assert "expected 0.5 to 2.0; with data.scaling_factor = " in str(outcome.problems)


def test_what_is_shown_of_latents_is_decoded(root: Path):
    """A collage and a reconstruction are pictures of the images' size."""
    states = load_file(store.check(root, one(left(root, "probe", "collage"), "states").sha256))
    values = {each.metric: each.value for each in left(root, "probe", "restored").measurements}

    assert states["made"].shape == (3, 4, 8, 8)
    assert (values["psnr/10"] or 0) > 0


def one(stage: history.DoneStage, role: str):
    (found,) = [each for each in stage.artifacts if each.role == role]
    return found


def test_what_the_autoencoder_measures_moves_no_latents():
    """The stages of a run that builds on it do not hang on its own probes."""
    (spec,) = load(VALID / "trained-latents.toml")
    (coder,) = load(VALID / "kl.toml")

    below = {each.stage_id for each in stages(coder) if each.kind != "probe"}
    assert below <= {each.stage_id for each in stages(spec)}
    assert not {each.stage_id for each in stages(coder) if each.kind == "probe"} & {
        each.stage_id for each in stages(spec)
    }
