"""Make a table of text vectors for `condition = { kind = "table", ... }`, by CLIP's text encoder.

`python tools/clip_table.py OUT.npz NAME...` encodes "a photo of a NAME" for every name, and the
empty prompt as the last row, with transformers and a model of the Hugging Face hub or of a folder.
`embeddings` are the projected vectors [N + 1, D], `tokens` what the encoder says at each place of a
prompt [N + 1, L, D]: several tokens, to which attention means something. It prints the digest of
the file, which a spec pins, and the cosines of the classes, which are high.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.digest import sha256_file

MODEL = "openai/clip-vit-base-patch32"
PROMPT = "a photo of a {}"


def prompts(names: Sequence[str], template: str) -> list[str]:
    """A prompt for each class, and the empty one for none."""
    return [*(template.format(name) for name in names), ""]


def encoded(texts: Sequence[str], model: str) -> dict[str, NDArray[np.float32]]:
    """What the text encoder of *model* makes of *texts*."""
    import torch

    transformers: Any = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    encoder = transformers.CLIPTextModelWithProjection.from_pretrained(model).eval()
    with torch.inference_mode():
        said = tokenizer(list(texts), padding="max_length", return_tensors="pt")
        out = encoder(**said)
    return {
        "embeddings": out.text_embeds.float().numpy(),
        "tokens": out.last_hidden_state.float().numpy(),
    }


def cosines(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of every two rows."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float32] = unit @ unit.T
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode, write, and say what was written."""
    parser = argparse.ArgumentParser(description="Make a table of text vectors by CLIP.")
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--model", default=MODEL, help="a name of the hub, or a folder")
    parser.add_argument("--prompt", default=PROMPT, help="with {} for the name")
    given = parser.parse_args(arguments)
    arrays = encoded(prompts(given.names, given.prompt), given.model)
    np.savez(given.out, allow_pickle=False, **arrays)
    between = cosines(arrays["embeddings"])[np.triu_indices(len(given.names), 1)]
    rows = list(range(len(given.names)))
    print(f"digest = {sha256_file(given.out)!r}  rows = {rows}  null_row = {len(rows)}")
    if len(between):
        print(f"cosines of classes: {between.min():.3f} to {between.max():.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
