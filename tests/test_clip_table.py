"""A table of text vectors that the tool makes is one that a spec can name."""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from repro.digest import sha256_file
from repro.engine.networks.condition import read_table
from repro.spec.conditional import VectorTable

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "clip_table.py"))


class Tokenizer:
    """Says how long each text is."""

    @staticmethod
    def from_pretrained(model: str):
        return lambda texts, **_: {"lengths": torch.tensor([len(each) for each in texts])}


class Encoder:
    """Makes three numbers of a length, and the same at each of five places."""

    @staticmethod
    def from_pretrained(model: str):
        return Encoder()

    def eval(self):
        return self

    def __call__(self, lengths: torch.Tensor) -> SimpleNamespace:
        rows = torch.stack([lengths.sin(), lengths.cos(), torch.ones(len(lengths))], dim=1)
        return SimpleNamespace(text_embeds=rows, last_hidden_state=rows[:, None].repeat(1, 5, 1))


@pytest.fixture
def transformers(monkeypatch):
    """A library of that name, whose encoder hears only how long a prompt is."""
    fake = ModuleType("transformers")
    fake.AutoTokenizer = Tokenizer  # type: ignore[attr-defined]
    fake.CLIPTextModelWithProjection = Encoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", fake)


@pytest.mark.usefixtures("transformers")
@pytest.mark.parametrize(("array", "num_tokens"), [("embeddings", 1), ("tokens", 5)])
def test_what_it_writes_a_spec_can_name(tmp_path: Path, capsys, array: str, num_tokens: int):
    """Rows in the order of the names, no class last, and the digest that it prints."""
    path = tmp_path / "table.npz"

    assert TOOL["main"]([str(path), "cat", "airplane"]) == 0

    assert sha256_file(path) in capsys.readouterr().out
    rows = read_table(
        VectorTable(
            path=str(path),
            digest=sha256_file(path),
            array=array,
            rows=(0, 1),
            null_row=2,
            num_tokens=num_tokens,
            dim=3,
        )
    )
    expected = torch.tensor([len("a photo of a cat"), len("a photo of a airplane"), 0]).sin()
    assert rows.shape == (3, num_tokens, 3)
    assert rows[:, 0, 0].tolist() == pytest.approx(expected.tolist())
