"""From labels to the vectors that tell a network its class: learned, or a frozen table.

Label `num_classes` is the null token: no class.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from repro import digest
from repro.engine.seeds import seeded
from repro.errors import ResourceError
from repro.spec.conditional import Condition, Labels, RandomTable, Scaling, VectorTable


class Learned(nn.Module):
    """A vector for each label, learned with the network."""

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.null_label, self.dim, self.num_tokens = num_classes, dim, 1
        self.vectors = nn.Embedding(num_classes + 1, dim)

    def forward(self, labels: Tensor) -> Tensor:
        """[B, 1, dim] of labels [B]."""
        vectors: Tensor = self.vectors(labels)
        return vectors[:, None]

    def table(self) -> Tensor:
        """All vectors [num_classes + 1, dim], that of the null token last."""
        return self.vectors.weight.detach()


class Frozen(nn.Module):
    """Vectors that are given; they are part of the network's weights files."""

    rows: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.null_label, (self.num_tokens, self.dim) = len(rows) - 1, rows.shape[1:]
        self.register_buffer("rows", rows)

    def forward(self, labels: Tensor) -> Tensor:
        """[B, num_tokens, dim] of labels [B]."""
        return self.rows[labels]

    def table(self) -> Tensor:
        """All vectors [num_classes + 1, num_tokens dim], that of the null token last."""
        return self.rows.flatten(1)


def conditioner(spec: Condition, *, width: int) -> Learned | Frozen:
    """What *spec* describes; learned vectors have *width* entries.

    Raises:
        ResourceError: the file of a table is not here, is another, or does not hold what is named.
    """
    match spec:
        case Labels(num_classes=num):
            return Learned(num, width)
        case RandomTable(num_classes=num, num_tokens=tokens, dim=dim, seed=seed):
            drawn = torch.randn((num + 1, tokens, dim), generator=seeded("table", seed))
            return Frozen(drawn)
        case VectorTable():
            return Frozen(torch.from_numpy(scaled(read_table(spec), spec.scaling)))


def read_table(spec: VectorTable) -> NDArray[np.float32]:
    """The rows [classes + 1, tokens, dim] that a spec names, as they are stored.

    Raises:
        ResourceError: the file is not here, is not what the spec pins, lacks a row, has vectors of
            another size, one that is not finite, or a class that is told as another is, or as none.
    """
    path = Path(spec.path)
    if not path.is_file():
        expected = f"expected an .npz file with {spec.array!r}; tools/clip_table.py makes one"
        raise ResourceError(f"{path}: no such file; {expected}")
    if (found := digest.sha256_file(path)) != spec.digest:
        raise ResourceError(f"{path}: its content is {found}, the spec pins {spec.digest}")
    rows = _rows(spec, _array(path, spec.array))
    _refuse_unusable(spec, rows)
    return rows


def _rows(spec: VectorTable, array: NDArray[Any]) -> NDArray[np.float32]:
    """The rows that the spec names of an array [R, dim] or [R, tokens, dim]."""
    of_tokens = array[:, None] if array.ndim == 2 else array
    wanted = (*spec.rows, spec.null_row)
    where = f"{spec.path}: {spec.array}"
    if of_tokens.shape[1:] != (spec.num_tokens, spec.dim):
        expected = f"[R, {spec.num_tokens}, {spec.dim}]"
        raise ResourceError(f"{where}: expected {expected}, got {list(array.shape)}")
    if max(wanted) >= len(of_tokens):
        raise ResourceError(f"{where}: has {len(of_tokens)} rows, none of number {max(wanted)}")
    return of_tokens[list(wanted)].astype(np.float32)


def _refuse_unusable(spec: VectorTable, rows: NDArray[np.float32]) -> None:
    where = f"{spec.path}: {spec.array}"
    if not np.isfinite(rows).all():
        raise ResourceError(f"{where}: a vector is not finite")
    for label, row in enumerate(rows[:-1]):
        alike = [each for each in range(label + 1, len(rows)) if np.array_equal(row, rows[each])]
        for other in alike[:1]:
            what = "no class" if other == len(rows) - 1 else f"class {other}"
            raise ResourceError(f"{where}: class {label} is told as {what} is; choose other rows")


def scaled(rows: NDArray[np.float32], scaling: Scaling) -> NDArray[np.float32]:
    """Rows [N, tokens, dim] as a network gets them; see `VectorTable`."""
    centre = rows.mean(axis=0) if scaling in ("centred", "standardised") else np.float32(0)
    moved: NDArray[np.float32] = np.subtract(rows, centre, dtype=np.float32)
    if scaling == "unit":
        moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
    if scaling == "standardised":
        moved /= np.sqrt(np.mean(moved**2))
    return moved


def _array(path: Path, name: str) -> NDArray[Any]:
    """One array of an .npz file; nothing of it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if name not in file.files:
                known = ", ".join(sorted(file.files))
                raise ResourceError(f"{path}: no array {name!r}, only: {known}")
            array: NDArray[Any] = file[name]
    except (OSError, ValueError, EOFError) as error:
        raise ResourceError(f"{path}: {name}: cannot be read: {error}") from error
    if array.dtype.kind != "f":
        raise ResourceError(f"{path}: {name}: expected real numbers, got {array.dtype}")
    return array


def cosines(table: Tensor) -> Tensor:
    """The cosine [N, N] of every two rows [N, D]."""
    unit = nn.functional.normalize(table, dim=1)
    return unit @ unit.T
