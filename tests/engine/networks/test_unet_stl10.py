"""The U-Net of the STL-10 log, held to the log's own numbers."""

import pytest
import torch
from torch import Tensor, nn

from repro.engine.networks.unet_stl10 import LEVEL_WIDTH, Block, sinusoid, unet_stl10
from repro.engine.probes.call_cost import operations
from repro.engine.seeds import global_stream
from repro.errors import RunError
from repro.spec.conditional import Labels, RandomTable, UNetStl10

PIXELS, LATENTS = (3, 96, 96), (4, 12, 12)
LATENT_WIDTHS = (256, 256, 512, 1024, 512)
SMALL = (16, 16, 16, 32, 16)


def size(spec: UNetStl10, shape: tuple[int, int, int]) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in unet_stl10(spec, shape).parameters())


@pytest.mark.parametrize(
    ("spec", "shape", "expected"),
    [
        (UNetStl10(condition=Labels()), PIXELS, 3_382_915 + 2_816),
        (UNetStl10(condition=RandomTable(), enters="cross-attention"), PIXELS, 4_177_539),
        (
            UNetStl10(condition=RandomTable(), enters="cross-attention", channels=LATENT_WIDTHS),
            LATENTS,
            55_934_468,
        ),
    ],
    ids=["labels", "clip", "latents"],
)
def test_size(spec, shape, expected):
    """The numbers of parameters that its author's code has."""
    assert size(spec, shape) == expected


@pytest.mark.parametrize(
    ("spec", "shape", "expected"),
    [
        (UNetStl10(condition=Labels()), PIXELS, 17.5e9),
        (
            UNetStl10(condition=RandomTable(), enters="cross-attention", channels=LATENT_WIDTHS),
            LATENTS,
            3.76e9,
        ),
    ],
    ids=["labels", "latents"],
)
def test_cost(spec, shape, expected):
    """The operations of a call are those of its author's code, counted on shapes alone."""
    network = unet_stl10(spec, shape).to("meta").eval()
    z, zeros = torch.zeros(1, *shape, device="meta"), torch.zeros(1, device="meta").long()

    assert operations(network, (z, zeros, zeros)) == pytest.approx(expected, rel=2e-3)


def test_cost_on_a_cpu():
    """Attention counts as it does on shapes, though a CPU fuses it."""
    spec = UNetStl10(condition=Labels(num_classes=3), channels=SMALL, num_heads=2, dropout=0.0)
    z, zeros = torch.zeros(1, 3, 16, 16), torch.zeros(1).long()
    on_shapes = [each.to("meta") for each in (z, zeros, zeros)]

    counted = operations(unet_stl10(spec, (3, 16, 16)).eval(), (z, zeros, zeros))

    network = unet_stl10(spec, (3, 16, 16)).to("meta").eval()
    assert counted == operations(network, tuple(on_shapes))


def small(*, num_tokens: int) -> nn.Module:
    condition = RandomTable(num_classes=3, dim=8, num_tokens=num_tokens)
    spec = UNetStl10(
        condition=condition, enters="cross-attention", channels=SMALL, num_heads=2, dropout=0.0
    )
    with global_stream("network", 0):
        network = unet_stl10(spec, (3, 16, 16))
        nn.init.normal_(network.out.weight)
    return network


def gradient(network: nn.Module, part: str) -> float:
    """The largest gradient of the weights whose name holds *part*."""
    z = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network(z, torch.tensor([3, 9]), torch.tensor([0, 2])).square().mean().backward()
    found = [each.grad for name, each in network.named_parameters() if part in name]
    return max(float(each.abs().max()) for each in found if each is not None)


def test_one_token_leaves_attention_untrained():
    """What self-attention gives only asks, and with one token nothing depends on what asks."""
    network = small(num_tokens=1)

    assert gradient(network, ".own.") < 1e-9
    assert gradient(network, "cross.to_q") < 1e-9
    assert gradient(network, "cross.to_k") < 1e-9
    assert gradient(network, "cross.to_v") > 1e-4


def test_more_tokens_train_it():
    """The same network, told each class as two vectors."""
    network = small(num_tokens=2)

    assert gradient(network, ".own.") > 1e-7
    assert gradient(network, "cross.to_q") > 1e-7


@pytest.mark.parametrize("context", [None, 8])
def test_a_block_is_what_it_was_and_what_attention_makes_of_it(context):
    """Without attention that is itself again; one token is the same vector at every place."""
    torch.manual_seed(0)
    spec = UNetStl10(condition=Labels(), channels=SMALL, num_heads=2, norm_groups=4, dropout=0.0)
    block = Block(spec, 16, 24, attends=context is not None, context=context)
    x, told, tokens = torch.randn(2, 16, 4, 4), torch.randn(2, LEVEL_WIDTH), torch.randn(2, 1, 8)

    found = block(x, told, None if context is None else tokens)

    inner = block.first(x) + block.told(told)[:, :, None, None]
    was = block.skip(x) + block.second(inner)
    made = was if block.cross is None else block.cross.to_out(block.cross.to_v(tokens[:, 0]))
    expected = was + (made if context is None else made[:, :, None, None])
    assert torch.allclose(found, expected, atol=1e-5)


def test_it_says_nothing_before_its_first_update():
    """The last convolution starts at zero."""
    spec = UNetStl10(condition=Labels(), channels=SMALL, num_heads=2)

    out = unet_stl10(spec, (3, 16, 16))(
        torch.randn(1, 3, 16, 16), torch.tensor([4]), torch.tensor([10])
    )

    assert out.shape == (1, 3, 16, 16)
    assert not out.any()


def test_sines_and_cosines_take_turns():
    """Sin t, cos t, sin of a slower t, ... as in the transformer."""
    found: Tensor = sinusoid(torch.tensor([0, 3]))

    assert found[0, :4].tolist() == [0, 1, 0, 1]
    assert found[1, 0] == pytest.approx(torch.tensor(3.0).sin())
    assert found.shape == (2, 256)


def test_sides_must_allow_two_halvings():
    """It goes down twice."""
    with pytest.raises(RunError, match="halves the image twice, which 10 x 8"):
        unet_stl10(UNetStl10(condition=Labels()), (3, 10, 8))
