"""What is random in a sample."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.engine.randomness import Randomness, draw, draw_each, randomness_of
from repro.engine.seeds import normal, per_image, seeded
from repro.spec import network as networks

LAW = Randomness(noise_shape=(2, 3), num_style_tokens=5, num_style_codes=7)


def test_each_network_tells_what_it_draws():
    """A vector, noise like the sample, or style indices too."""
    shape = (3, 8, 8)
    tables = networks.Dit(num_style_tokens=4, num_style_codes=9)

    assert randomness_of(networks.ConvGenerator(noise_dim=16), shape) == Randomness(
        noise_shape=(16,)
    )
    assert randomness_of(networks.UNet2D(), shape) == Randomness(noise_shape=shape)
    assert randomness_of(tables, shape) == Randomness(
        noise_shape=shape, num_style_tokens=4, num_style_codes=9
    )


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6), st.data())
def test_a_sample_draws_from_its_own_generator(seeds: list[int], data: st.DataObject):
    """Noise and style of a sample are the same alone and in any company."""
    index = data.draw(st.integers(0, len(seeds) - 1))

    together = draw_each(LAW, per_image(seeds))
    alone = draw_each(LAW, per_image(seeds[index : index + 1]))

    assert all(torch.equal(one[0], all_[index]) for one, all_ in zip(alone, together, strict=True))


def test_noise_comes_first():
    """A generator with style tokens gets the noise that one without would get."""
    (plain,) = draw_each(Randomness(noise_shape=(2, 3)), per_image([5, 6]))
    noise, _ = draw_each(LAW, per_image([5, 6]))

    assert torch.equal(noise, plain)
    assert torch.equal(noise, normal(per_image([5, 6]), (2, 3)))


def test_every_code_is_as_likely_as_the_next():
    """Indices are uniform below the number of codes, and those of two tokens independent."""
    _, style = draw(LAW, 20_000, generator=seeded("style"))
    pairs = torch.bincount(7 * style[:, 0] + style[:, 4], minlength=49)

    assert style.shape == (20_000, 5)
    assert (int(style.min()), int(style.max())) == (0, 6)
    assert (pairs / 20_000 - 1 / 49).abs().max() < 0.005  # five standard errors
