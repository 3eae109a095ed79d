"""The files that the numbers of a study rest on, each with what rests on it."""

from collections.abc import Mapping
from typing import Any

from repro.ledger import store
from repro.ledger.database import query
from repro.report.archive import Archive
from repro.report.rounding import in_bytes

_FILES = """
SELECT DISTINCT ON (sha256) sha256, name, size_bytes, execution_id FROM artifacts
ORDER BY execution_id DESC, seq DESC
"""


def facts(told: Mapping[str, Any], archive: Archive) -> list[dict[str, Any]]:
    """Every file behind a measurement of the study, those of admitted evidence first."""
    admitted = {each["measurement"] for claim in told["claims"] for each in claim["admitted"]}
    known = {sha256: rest for sha256, *rest in query(archive.root, _FILES).rows}
    found: dict[str, dict[str, Any]] = {}
    for name, row in told["measurements"].items():
        files = {**row["files"], **({"sheet": row["sheet"]} if row["sheet"] else {})}
        for role, sha256 in files.items():
            file, size_bytes, execution_id = known.get(sha256, ("", None, row["execution_id"]))
            each = found.setdefault(
                sha256,
                {
                    "sha256": sha256,
                    "role": role,
                    "name": file,
                    "size": "" if size_bytes is None else in_bytes(size_bytes),
                    "execution_id": execution_id,
                    "here": store.path_of(archive.root, sha256).is_file(),
                    "measurements": [],
                    "evidence": False,
                },
            )
            each["measurements"].append(f"{row['label']} {row['metric']}")
            each["evidence"] |= name in admitted
    return sorted(found.values(), key=lambda each: (not each["evidence"], each["role"]))
