"""The drifting paper's generator: its published sizes, its zero start, and every part of it."""

from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from repro.engine.networks.dit import Dit, dit, from_patches, to_patches
from repro.engine.networks.positions import grid_embedding
from repro.errors import RunError
from repro.spec import network as networks
from tests.engine.networks.dit_oracle import reference_image

LATENT, PIXEL = (4, 32, 32), (3, 256, 256)
B2 = networks.Dit()
L2 = networks.Dit(depth=24, num_heads=16)
B16 = networks.Dit(patch_size=16)
L16 = networks.Dit(patch_size=16, depth=24, num_heads=16)
PUBLISHED = [
    pytest.param(B2, LATENT, 132_708_880, 24.5, id="B/2"),
    pytest.param(L2, LATENT, 462_909_456, 86.4, id="L/2"),
    pytest.param(B16, PIXEL, 133_864_704, 24.8, id="B/16"),
    pytest.param(L16, PIXEL, 464_450_304, 86.8, id="L/16"),
]
SHAPE = (3, 4, 6)
SMALL = networks.Dit(
    depth=2,
    num_heads=2,
    head_dim=8,
    num_classes=5,
    num_registers=3,
    num_style_tokens=4,
    num_style_codes=6,
)
VARIANTS: list[dict[str, Any]] = [
    {},
    {"norm": "layer"},
    {"norm": "rms-plain"},
    {"position_embedding": "none"},
    {"qk_norm": "unit"},
    {"qk_norm": "none"},
    {"rope": "2d"},
    {"rope": "none"},
    {"feed_forward": "gelu"},
    {"alpha_embedding": "raw"},
    {"alpha_embedding": "none"},
    {"num_registers": 0},
    {"num_style_tokens": 0},
    {"patch_size": 1},
]
EVERY_VARIANT = pytest.mark.parametrize(
    "changes",
    VARIANTS,
    ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items()) or "default",
)


def network(*, trained: bool = False, **changes: Any) -> Dit:
    """A small generator as it starts, or with all weights away from where they start."""
    torch.manual_seed(0)
    made = dit(evolve(SMALL, **changes), SHAPE)
    if trained:
        with torch.no_grad():
            for each in made.parameters():
                each.add_(0.3 * torch.randn_like(each))
    return made


def inputs(spec: networks.Dit = SMALL, num: int = 4) -> tuple[Tensor, ...]:
    """Noise, labels, guidance scales and, if there are any, style indices."""
    generator = Generator().manual_seed(1)
    noise = torch.randn((num, *SHAPE), generator=generator)
    labels = torch.arange(num) % spec.num_classes
    alpha = 1 + 3 * torch.rand(num, generator=generator)
    size = (num, spec.num_style_tokens)
    style = torch.randint(spec.num_style_codes, size, generator=generator)
    return (noise, labels, alpha, style) if spec.num_style_tokens else (noise, labels, alpha)


@pytest.mark.parametrize(("spec", "shape", "parameters", "gigamacs"), PUBLISHED)
def test_published_sizes(
    spec: networks.Dit, shape: tuple[int, int, int], parameters: int, gigamacs: float
):
    """The four published generators, to the last parameter, and their cost of one image."""
    with FakeTensorMode():
        made = dit(spec, shape)
        style = torch.zeros((1, 32), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            image = made(torch.zeros(1, *shape), torch.tensor([999]), torch.ones(1), style)

    products = counter.get_flop_counts()["Global"].items()
    dense = sum(flops for product, flops in products if "attention" not in str(product)) / 2
    attended = 2 * spec.depth * 272**2 * spec.num_heads * spec.head_dim
    assert image.shape == (1, *shape)
    assert sum(each.numel() for each in made.parameters()) == parameters
    assert (dense + attended) / 1e9 == pytest.approx(gigamacs, abs=0.05)


@EVERY_VARIANT
@torch.no_grad()
def test_equals_the_description(changes: dict[str, Any]):
    """Whatever is switched, images are those of the description in plain numpy, to 1e-6."""
    made = network(trained=True, **changes).double()
    batch = inputs(made.spec)
    weights = {name: each.numpy() for name, each in made.state_dict().items()}

    images = made(*(each.double() if each.is_floating_point() else each for each in batch))

    for index, image in enumerate(images.numpy()):
        noise, label, alpha, *style = (each[index] for each in batch)
        expected = reference_image(
            made.spec,
            weights,
            noise.double().numpy(),
            label=int(label),
            alpha=float(alpha),
            style=style[0].tolist() if style else None,
        )
        np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@EVERY_VARIANT
@torch.no_grad()
def test_the_first_image_is_zero(changes: dict[str, Any]):
    """The untrained generator puts out exactly 0, whatever it is given."""
    made = network(**changes)

    assert made(*inputs(made.spec)).count_nonzero() == 0


def test_weights_start_as_published():
    """Tables and the layers of alpha at 0.02, other layers Xavier-uniform, biases at zero."""
    spec = evolve(SMALL, head_dim=32, num_classes=50, num_style_codes=50, head_init="xavier")
    torch.manual_seed(0)
    made = dit(evolve(spec, num_registers=50), SHAPE)
    started = dict(made.named_parameters())

    for name in (
        "conditioning.class_embedding",
        "conditioning.style_embedding.codes",
        "registers.embedding",
        "conditioning.alpha_embedding.inner.weight",
        "conditioning.alpha_embedding.outer.weight",
    ):
        assert started[name].std().item() == pytest.approx(0.02, rel=0.1), name
    for name in (
        "patch_embedding.weight",
        "registers.projection.weight",
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.output.weight",
        "blocks.1.feed_forward.up.weight",
        "blocks.1.feed_forward.down.weight",
        "head.projection.weight",
    ):
        bound = (6 / sum(started[name].shape)) ** 0.5
        assert 0.95 * bound < started[name].abs().max().item() <= bound, name
    assert all(not each.any() for name, each in started.items() if name.endswith(".bias"))
    assert torch.equal(started["position_embedding"], grid_embedding((2, 3), 64))


@torch.no_grad()
def test_blocks_start_as_the_identity():
    """Before training, the blocks leave their tokens alone to the last bit."""
    made, x = network(), torch.randn(2, 9, 16)

    assert torch.equal(made.blocks[0](x, torch.randn(2, 16), made.rotation), x)


@pytest.mark.parametrize("which", ["labels", "alpha", "style"])
def test_what_it_is_told_matters_only_after_training(which: str):
    """With a head that is not zero, class, alpha and style change nothing before the first updates.

    The second update reaches the modulation through gates that the first has opened.
    """
    made = network(head_init="xavier")
    batch = dict(zip(("noise", "labels", "alpha", "style"), inputs(), strict=True))
    other = {**batch, which: batch[which].roll(1, dims=0)}
    optimizer = torch.optim.SGD(made.parameters(), lr=1.0)

    def difference() -> float:
        with torch.no_grad():
            return float((made(*batch.values()) - made(*other.values())).abs().max())

    before = difference()
    for _ in range(2):
        optimizer.zero_grad()
        made(*batch.values()).square().mean().backward()
        optimizer.step()

    assert before == 0
    assert difference() > 1e-6


@EVERY_VARIANT
def test_every_weight_learns(changes: dict[str, Any]):
    """A gradient reaches every weight; there is none that the loss does not move."""
    made = network(trained=True, **changes)

    made(*inputs(made.spec)).square().sum().backward()

    idle = [
        name
        for name, weight in made.named_parameters()
        if weight.grad is None or not weight.grad.abs().max() > 0
    ]
    assert idle == []


@torch.no_grad()
def test_an_image_ignores_its_batch():
    """An image alone equals the image in a batch of four to 1e-5."""
    made, batch = network(trained=True), inputs()
    together = made(*batch)

    alone = made(*(each[2:3] for each in batch))

    torch.testing.assert_close(alone[0], together[2], rtol=0, atol=1e-5 * together.abs().max())


def test_bfloat16_is_near():
    """Rounded products leave the image within a few percent, float32, and its gradient finite."""
    exact, rounded = network(trained=True), network(trained=True, precision="bfloat16")
    wanted = exact(*inputs()).detach()

    images = rounded(*inputs())
    images.square().sum().backward()

    assert images.dtype == torch.float32
    assert not torch.equal(images, wanted)
    assert (images - wanted).norm() < 0.05 * wanted.norm()
    assert all(
        each.grad is not None and each.grad.isfinite().all() for each in rounded.parameters()
    )


@torch.no_grad()
def test_only_the_products_of_blocks_are_rounded():
    """Norms, modulation, the sum over blocks and the head are not."""
    made, found = network(trained=True, precision="bfloat16"), dict[str, torch.dtype]()
    for name, each in made.named_modules():
        each.register_forward_hook(lambda _, given, out, name=name: found.update({name: out.dtype}))

    made(*inputs())

    rounded = {name for name, dtype in found.items() if dtype == torch.bfloat16}
    assert rounded == {
        f"blocks.{index}.{part}"
        for index in range(2)
        for part in (
            *("attention", "attention.qkv", "attention.output"),
            *("feed_forward", "feed_forward.up", "feed_forward.down"),
        )
    }


def test_a_checkpoint_holds_weights_only():
    """What follows from the spec, such as rotations, is not stored."""
    made = network()

    assert set(made.state_dict()) == {name for name, _ in made.named_parameters()}


def test_patches_must_tile():
    """Sides of 4 and 6 cannot be cut into fours."""
    with pytest.raises(RunError, match="patches of 4 x 4 do not tile 4 x 6"):
        network(patch_size=4)


def test_a_patch_is_a_square():
    """Rows come one after the other; inside a patch too, and there the channels lie together."""
    image = torch.arange(32.0).view(1, 2, 4, 4)  # channel, row, column are the digits in base 4

    patches = to_patches(image, 2)

    assert patches[0, 1].tolist() == [2, 18, 3, 19, 6, 22, 7, 23]


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)
)
def test_patches_can_be_put_back(num: int, channels: int, rows: int, columns: int, size: int):
    """Cutting loses nothing, whatever the shape."""
    images = torch.rand(num, channels, rows * size, columns * size)

    assert torch.equal(from_patches(to_patches(images, size), (rows, columns), size), images)
