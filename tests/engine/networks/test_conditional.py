"""U-Nets that are told a class, and that cannot be built without what reads it."""

import pytest
import torch

from repro.engine.guidance import sensitivity
from repro.engine.networks.conditional import UNet2DConditional as UNet2D
from repro.engine.networks.conditional import refuse_unconditioned, unet2d_conditional
from repro.engine.seeds import global_stream
from repro.errors import RunError
from repro.spec.conditional import Labels, RandomTable, UNet2DConditional

CONDITIONS = [Labels(num_classes=3), RandomTable(num_classes=3, dim=16, num_tokens=2)]


def network(condition, enters="embedding", **changes) -> UNet2D:
    given = {"channels": (8, 16), "attention": (False, True), "layers_per_block": 1, **changes}
    spec = UNet2DConditional(condition=condition, enters=enters, norm_groups=4, **given)
    with global_stream("network", 0):
        return unet2d_conditional(spec, (1, 8, 8))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each.kind)
@pytest.mark.parametrize("enters", ["embedding", "cross-attention"])
def test_the_class_is_seen(condition, enters):
    """The same image at the same level is another for each class, and for none."""
    made = network(condition, enters).eval()
    labels = torch.arange(4)

    with torch.no_grad():
        out = made(torch.ones(4, 1, 8, 8), torch.full((4,), 7), labels)

    assert made.null_label == 3
    assert out.shape == (4, 1, 8, 8)
    assert torch.unique(out.flatten(1), dim=0).shape[0] == 4


@pytest.mark.parametrize(
    ("attention", "layers", "expected"), [((False, True), 1, 4), ((True, True), 2, 11)]
)
def test_attention_to_the_condition_is_counted(attention, layers, expected):
    """A transformer a block where the spec says: down, in the middle, and one more up."""
    made = network(CONDITIONS[1], "cross-attention", attention=attention, layers_per_block=layers)

    assert made.cross_attention_layers() == expected


def test_a_network_that_lacks_its_layers_is_refused():
    """Incident of 2025-09-23: the table was read after the network was built."""
    made = network(CONDITIONS[0], "embedding")

    with pytest.raises(RunError, match="0 layers attend to the condition, expected 4"):
        refuse_unconditioned(made, expected=4)


def test_a_side_that_cannot_be_halved():
    """28 x 28 allows two halvings, not three."""
    with pytest.raises(RunError, match="4 entries halve the image 3 times, which 28 x 28"):
        unet2d_conditional(UNet2DConditional(condition=Labels()), (1, 28, 28))


def test_size_of_the_digits_network():
    """The small network for 8 x 8 digits, told ten classes and none, has its known size."""
    made = network(Labels(), channels=(16, 32), attention=(False, False))

    assert sum(each.numel() for each in made.parameters()) == 160_401


def test_one_token_moves_every_place_alike():
    """Attention to one token has the same output at every place, whatever asks."""
    made = network(RandomTable(num_classes=3, dim=16), "cross-attention").eval()
    (layer,) = [
        each
        for name, each in made.named_modules()
        if name.endswith("mid_block.attentions.0.transformer_blocks.0.attn2")
    ]

    with torch.no_grad():
        out = layer(torch.randn(2, 9, 16), encoder_hidden_states=torch.randn(2, 1, 16))

    assert torch.allclose(out, out[:, :1].expand_as(out))
    assert sensitivity(made, torch.ones(1, 1, 8, 8), torch.tensor([3])) > 0
