"""Every stream has a name, and every image has its own."""

import torch

from repro.engine.seeds import global_stream, normal, per_image, seeded
from repro.spec.fields import NUM_SEEDS


def test_equal_parts_give_equal_draws():
    """A generator is a function of its parts."""
    first, second = (torch.randn(3, generator=seeded("train", 1, 2)) for _ in range(2))

    assert torch.equal(first, second)


def test_parts_do_not_run_together():
    """(1, 23) and (12, 3) are two streams."""
    first, second = seeded("train", 1, 23), seeded("train", 12, 3)

    assert first.initial_seed() != second.initial_seed()


def test_a_stream_is_pinned():
    """The seed behind a name never changes, or no training could be repeated."""
    assert seeded("train", 1337, 0, 0).initial_seed() == 2_981_558_430


def test_noise_of_an_image_does_not_depend_on_its_batch():
    """Image 17 gets the same bits alone and among forty."""
    together = normal(per_image(range(40)), (3, 8, 8))

    alone = normal(per_image([17]), (3, 8, 8))

    assert torch.equal(together[17], alone[0])


def test_fifty_thousand_images_have_fifty_thousand_noises():
    """No two seeds of a large set share what torch keeps of them."""
    seeds = {each.initial_seed() for each in per_image(range(7, 50_007))}

    assert len(seeds) == 50_000


def test_seeds_beyond_32_bits_would_repeat_images():
    """Why a spec refuses them: torch keeps no more of a seed."""
    below, beyond = per_image([7]), per_image([7 + NUM_SEEDS])

    assert torch.equal(normal(below, (3,)), normal(beyond, (3,)))


def test_global_stream_leaves_no_trace():
    """What torch would have drawn next is drawn next."""
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)

    with global_stream("dropout", 1):
        torch.randn(5)

    assert torch.equal(torch.randn(2), expected)
