"""A page about the store: what it holds, what stays and why, what may go or went."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro.ledger.database import query
from repro.ledger.gc import Collection
from repro.ledger.retention import Holding
from repro.report import pages
from repro.report.rounding import in_bytes

MAX_LISTED = 200
LEFTOVER = "half a file of a killed writer"
UNRECORDED = "unrecorded"

_EARLIER = """
SELECT execution_id, reason, count(*), sum(size_bytes) FROM tombstones
WHERE execution_id IS DISTINCT FROM $1 GROUP BY ALL ORDER BY ALL
"""


def write(root: Path, found: Collection, page: Path) -> None:
    """Write the page of a collection, whole or not at all.

    Raises:
        LedgerError: the ledger's tombstones cannot be read, or the page cannot be written.
    """
    pages.replace(page, pages.rendered("hygiene.md.jinja", facts(root, found)))


def facts(root: Path, found: Collection) -> dict[str, Any]:
    """What the page says, as plain data."""
    leftovers = [(LEFTOVER, each.size_bytes) for each in found.leftovers]
    goes = [(each.why, each.size_bytes) for each in found.gone] + leftovers
    stays = [(each.why, each.size_bytes) for each in found.kept]
    largest = sorted(found.gone, key=lambda each: (-each.size_bytes, each.sha256))
    return {
        "execution_id": found.execution_id,
        "before": _sum(size for _, size in stays + goes),
        "kept": _sum(size for _, size in stays),
        "gone": _sum(size for _, size in goes),
        "kept_by_reason": _by_reason(stays),
        "gone_by_reason": _by_reason(goes),
        "by_role": _by_role(found),
        "largest": [_listed(each) for each in largest[:MAX_LISTED]],
        "num_smaller": len(largest[MAX_LISTED:]),
        "earlier": _earlier(root, found.execution_id),
    }


def _by_reason(whys: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Number and size of the files by their reason, the largest first."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for why, size_bytes in whys:
        sizes[why].append(size_bytes)
    ordered = sorted(sizes.items(), key=lambda each: (-sum(each[1]), each[0]))
    return [{"why": why, **_sum(each)} for why, each in ordered]


def _by_role(found: Collection) -> list[dict[str, Any]]:
    """Number and size of the files by study and role: those that stay, those that go."""
    sizes: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for each in (*found.kept, *found.gone):
        role = each.roles[0] if each.roles else UNRECORDED
        sizes[each.study, role][0 if each.kept else 1].append(each.size_bytes)
    return [
        {"study": study, "role": role, "kept": _sum(kept), "gone": _sum(gone)}
        for (study, role), (kept, gone) in sorted(sizes.items())
    ]


def _listed(holding: Holding) -> dict[str, Any]:
    name = holding.names[0] if holding.names else UNRECORDED
    return {
        "study": holding.study,
        "name": name.replace("|", r"\|"),
        "size": in_bytes(holding.size_bytes),
        "sha256": holding.sha256,
    }


def _earlier(root: Path, execution_id: str | None) -> list[dict[str, Any]]:
    """What other collections removed, by collection and reason."""
    return [
        {"execution_id": name, "why": why, "num_files": num_files, "size": in_bytes(int(total))}
        for name, why, num_files, total in query(root, _EARLIER, [execution_id]).rows
    ]


def _sum(sizes: Iterable[int]) -> dict[str, Any]:
    found = list(sizes)
    return {"num_files": len(found), "size": in_bytes(sum(found))}
