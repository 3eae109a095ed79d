"""One digest over every seal: small enough for a commit message, a release page or a time-stamp.

Who keeps it elsewhere can tell later that no sealed execution was changed, cut short or removed
since: nobody can make the same head from other seals.
"""

from pathlib import Path

from repro.ledger.chain import ChainError, Tree, parse
from repro.ledger.history import require, segment_paths


def head(root: Path) -> str:
    """The Merkle root (RFC 9162) over `<execution_id> <hash of its seal>`, in order of id.

    Raises:
        LedgerError: there is no ledger here.
    """
    require(root)
    tree = Tree()
    for path in segment_paths(root):
        seal = _seal_hash(path)
        if seal is not None:
            tree = tree.add(f"{path.stem} {seal}".encode())
    return f"sha256:{tree.root()}"


def _seal_hash(path: Path) -> str | None:
    last = path.read_bytes().split(b"\n")[-2:-1]
    try:
        line = parse(last[0], record=0)
    except (IndexError, ChainError):
        return None
    return line.hash if line.kind == "seal" else None
