"""From labels to vectors: learned, from a file, or drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from repro import digest
from repro.engine.networks.condition import conditioner, cosines, read_table, scaled
from repro.errors import ResourceError
from repro.spec.conditional import Labels, RandomTable, VectorTable

ROOT = Path(__file__).parents[3]
CLIP = VectorTable(
    path=str(ROOT / "specs/stl10/clip_text_emb_stl10_vitb32.npz"),
    digest="sha256:eeec63dbf48097081a5c102a020f95d7ad994b1585880f05bcf0d3e8f9b24013",
    scaling="raw",
)


def table(tmp_path: Path, array: np.ndarray, **changes) -> VectorTable:
    path = tmp_path / "table.npz"
    np.savez(path, embeddings=array, words=np.array(["a", None], dtype=object))
    given = {"rows": (0, 1), "null_row": 2, "dim": array.shape[-1], **changes}
    return VectorTable(path=str(path), digest=digest.sha256_file(path), **given)


def test_learned_vectors_and_the_null_token():
    """Ten classes have eleven vectors, 2,816 numbers at a width of 256."""
    made = conditioner(Labels(), width=256)

    assert sum(each.numel() for each in made.parameters()) == 2816
    assert made.null_label == 10
    assert made(torch.tensor([0, 10])).shape == (2, 1, 256)
    assert not torch.equal(made(torch.tensor([0])), made(torch.tensor([10])))


def test_the_clip_table_is_what_the_log_says():
    """Norms of 9.5 to 10.7 and 12.9 of the empty prompt; every two classes nearly parallel."""
    rows = torch.from_numpy(read_table(CLIP)).flatten(1)
    between = cosines(rows)[:10, :10][~torch.eye(10, dtype=torch.bool)]

    lengths = rows.norm(dim=1)
    assert (lengths[:10].min().item(), lengths[10].item()) == pytest.approx((9.5, 12.9), abs=0.06)
    assert (between.min().item(), between.max().item()) == pytest.approx((0.79, 0.93), abs=0.005)


def test_a_standardised_table_is_spread_out():
    """Mean 0 and mean square 1; classes that lay together now point apart."""
    rows = scaled(read_table(CLIP), "standardised")

    between = cosines(torch.from_numpy(rows).flatten(1))[~torch.eye(11, dtype=torch.bool)]
    assert np.abs(rows.mean(axis=0)).max() < 1e-5
    assert np.mean(rows**2) == pytest.approx(1)
    assert between.mean() < 0


def test_unit_rows_have_length_one():
    """And keep their directions."""
    rows = scaled(read_table(CLIP), "unit")

    assert np.linalg.norm(rows, axis=-1) == pytest.approx(np.ones((11, 1)))


def test_rows_are_taken_in_the_order_of_the_classes(tmp_path: Path):
    """A class may take any row; the null token is last."""
    spec = table(tmp_path, np.eye(4, dtype=np.float16), rows=(3, 1), null_row=0, scaling="raw")

    made = conditioner(spec, width=7)

    assert made(torch.tensor([0, 1, 2]))[:, 0].argmax(dim=1).tolist() == [3, 1, 0]
    assert not list(made.parameters())
    assert "rows" in made.state_dict()


def test_several_tokens(tmp_path: Path):
    """A class may be told as more than one vector."""
    spec = table(tmp_path, np.random.default_rng(0).normal(size=(3, 5, 8)), num_tokens=5)

    assert conditioner(spec, width=7)(torch.tensor([0, 2])).shape == (2, 5, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": "sha256:" + "0" * 64}, "the spec pins"),
        ({"path": "nowhere.npz"}, "no such file"),
        ({"array": "vectors"}, "no array 'vectors', only: embeddings, words"),
        ({"array": "words"}, "cannot be read"),
        ({"dim": 3}, r"expected \[R, 1, 3\], got \[4, 4\]"),
        ({"rows": (0, 9)}, "has 4 rows, none of number 9"),
        ({"null_row": 1}, "class 1 is told as no class is"),
        ({"rows": (3, 1, 3)}, "class 0 is told as class 2 is"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, changes, message):
    """What is wrong with a file is said before a network is built."""
    array = np.eye(4, dtype=np.float16)
    given = {"digest": table(tmp_path, array).digest, **changes}
    spec = VectorTable(
        **{"path": str(tmp_path / "table.npz"), "rows": (0, 1), "null_row": 2, "dim": 4, **given}
    )

    with pytest.raises(ResourceError, match=message):
        read_table(spec)


def test_a_vector_that_is_not_finite(tmp_path: Path):
    """Would make every output one."""
    array = np.eye(3, dtype=np.float16)
    array[1, 1] = np.nan

    with pytest.raises(ResourceError, match="not finite"):
        read_table(table(tmp_path, array))


def test_a_drawn_table_is_the_same_everywhere():
    """It comes from its seed alone."""
    first, again, other = (
        conditioner(RandomTable(dim=8, seed=seed), width=7).table() for seed in (1, 1, 2)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
