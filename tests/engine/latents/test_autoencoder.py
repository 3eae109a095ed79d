"""From images to latents and back, with the weights that a spec pins."""

import json

import pytest
import torch
from attrs import evolve
from safetensors.torch import load_file, save_file

from repro import digest
from repro.engine.latents import files
from repro.engine.latents.autoencoder import (
    _diffusers_class,
    _refuse_other_layers,
    decode,
    encode,
    settings,
    trained_autoencoder,
    untrained_autoencoder,
)
from repro.engine.seeds import seeded
from repro.errors import ResourceError
from repro.spec.autoencoder import KlArchitecture, UntrainedAutoencoderKl
from tests.engine.latents import small

SCALE = 0.18215


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 8, 8, generator=seeded("images")) * 2 - 1


@pytest.fixture(scope="module")
def network():
    return small.network()


def generators(num: int) -> list[torch.Generator]:
    return [seeded("noise", number) for number in range(num)]


def encoded(network, images, posterior="sample", numbers=None):
    with torch.inference_mode():
        return encode(
            network,
            images,
            generators=generators(len(images)) if numbers is None else numbers,
            posterior=posterior,
            scaling_factor=SCALE,
        )


def test_the_saved_weights_are_those_that_encode(tmp_path, images, network):
    """What was saved and loaded encodes as what was saved."""
    loaded = trained_autoencoder(small.saved(tmp_path))

    assert torch.equal(encoded(loaded, images), encoded(network, images))


def test_a_latent_is_the_scaled_mean_plus_spread_times_noise(images, network):
    """scaling_factor (mean + std noise), the noise of image i from generator i."""
    with torch.inference_mode():
        moments = network.quant_conv(network.encoder(images))
    mean, log_variance = moments.chunk(2, dim=1)
    noise = torch.stack([torch.randn(4, 4, 4, generator=each) for each in generators(4)])

    found = encoded(network, images)

    wanted = SCALE * (mean + (log_variance / 2).exp() * noise)
    torch.testing.assert_close(found, wanted)


def test_the_mean_of_the_posterior_needs_no_noise(images, network):
    """Two sets of generators, one latent."""
    first = encoded(network, images, "mean")
    second = encoded(network, images, "mean", numbers=generators(8)[4:])

    assert torch.equal(first, second)
    assert not torch.equal(first, encoded(network, images))


def test_decoding_undoes_the_scale(images, network):
    """The decoder sees the latent of the encoder, not the scaled one."""
    latents = encoded(network, images, "mean")

    with torch.inference_mode():
        wanted = network.decode(latents / SCALE).sample
        found = decode(network, latents, scaling_factor=SCALE)

    assert found.shape == images.shape
    assert torch.equal(found, wanted)


def test_many_latents_are_decoded_as_few_are(network):
    """An image is the same in a batch of 8 and of 24."""
    latents = torch.randn(24, 4, 4, 4, generator=seeded("latents"))

    with torch.inference_mode():
        together = decode(network, latents, scaling_factor=SCALE)
        alone = decode(network, latents[8:16], scaling_factor=SCALE)

    assert torch.equal(together[8:16], alone)


def test_an_autoencoder_is_frozen(tmp_path):
    """No parameter gets a gradient."""
    network = trained_autoencoder(small.saved(tmp_path))

    assert not any(each.requires_grad for each in network.parameters())
    assert not network.training


def test_attention_weights_under_their_old_names_are_read(tmp_path, images, network):
    """The published file of 2022 calls them query, key, value and proj_attn."""
    spec = small.saved(tmp_path)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(tmp_path / files.WEIGHTS)
    renamed = dict(tensors)
    for new, old in names.items():
        found = [name for name in renamed if f"attentions.0.{new}." in name]
        assert found
        renamed |= {name.replace(new, old): renamed.pop(name) for name in found}
    save_file(renamed, tmp_path / files.WEIGHTS, metadata={"format": "pt"})

    loaded = trained_autoencoder(evolve(spec, weights=digest.sha256_file(tmp_path / files.WEIGHTS)))

    assert torch.equal(encoded(loaded, images), encoded(network, images))


def test_a_config_of_another_architecture_is_refused_with_every_difference(tmp_path):
    """The spec names the layers; a config that names others is another network."""
    spec = small.saved(tmp_path)
    config = json.loads((tmp_path / files.CONFIG).read_text())
    config |= {"latent_channels": 16, "shift_factor": 0.1, "scaling_factor": 9.0}
    del config["norm_num_groups"]
    (tmp_path / files.CONFIG).write_text(json.dumps(config))

    with pytest.raises(ResourceError) as caught:
        trained_autoencoder(spec)

    assert [each.partition(": ")[2].partition(":")[0] for each in caught.value.problems] == [
        "latent_channels",
        "shift_factor",
        "norm_num_groups",
    ]


def test_the_default_architecture_is_the_published_one():
    """248 tensors, 83,653,863 numbers: those of stabilityai/sd-vae-ft-mse."""
    with torch.device("meta"):
        tensors = _diffusers_class()(**settings(KlArchitecture())).state_dict()

    assert (len(tensors), sum(each.numel() for each in tensors.values())) == (248, 83_653_863)


def test_the_published_config_is_the_default_architecture(tmp_path):
    """What stabilityai/sd-vae-ft-mse says of itself is what a spec says by saying nothing."""
    path = tmp_path / files.CONFIG
    down, up = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    path.write_text(
        json.dumps(
            {
                "_class_name": "AutoencoderKL",
                "_diffusers_version": "0.4.2",
                "act_fn": "silu",
                "block_out_channels": [128, 256, 512, 512],
                "down_block_types": down,
                "in_channels": 3,
                "latent_channels": 4,
                "layers_per_block": 2,
                "norm_num_groups": 32,
                "out_channels": 3,
                "sample_size": 256,
                "up_block_types": up,
            }
        )
    )

    _refuse_other_layers(path, KlArchitecture())


def test_weights_of_another_shape_are_refused(tmp_path):
    """A file that does not fit its config is named, without a traceback."""
    spec = small.saved(tmp_path)
    tensors = load_file(tmp_path / files.WEIGHTS)
    tensors["quant_conv.weight"] = torch.zeros(2, 2, 1, 1)
    save_file(tensors, tmp_path / files.WEIGHTS, metadata={"format": "pt"})

    with pytest.raises(ResourceError, match="cannot be loaded"):
        trained_autoencoder(evolve(spec, weights=digest.sha256_file(tmp_path / files.WEIGHTS)))


def test_the_untrained_autoencoder_is_its_seeds(images):
    """Equal seeds give equal weights, whatever was drawn before."""
    first = untrained_autoencoder(UntrainedAutoencoderKl(architecture=small.ARCHITECTURE))
    torch.rand(3)
    again = untrained_autoencoder(UntrainedAutoencoderKl(architecture=small.ARCHITECTURE))
    other = untrained_autoencoder(UntrainedAutoencoderKl(seed=1, architecture=small.ARCHITECTURE))

    assert torch.equal(encoded(first, images), encoded(again, images))
    assert not torch.equal(encoded(first, images), encoded(other, images))
