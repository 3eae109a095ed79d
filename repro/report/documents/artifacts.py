"""The files that the numbers of a study rest on, each with what rests on it."""

from collections.abc import Mapping
from typing import Any

from repro.ledger import store
from repro.report.archive import Archive
from repro.report.rounding import in_bytes


def facts(told: Mapping[str, Any], archive: Archive) -> list[dict[str, Any]]:
    """Every file behind a measurement of the study, those of admitted evidence first."""
    admitted = {each["measurement"] for claim in told["claims"] for each in claim["admitted"]}
    known = {file.sha256: file for files in archive.files.values() for file in files}
    found: dict[str, dict[str, Any]] = {}
    for name, row in told["measurements"].items():
        files = {**row["files"], **({"sheet": row["sheet"]} if row["sheet"] else {})}
        for role, sha256 in files.items():
            file = known.get(sha256)
            each = found.setdefault(
                sha256,
                {
                    "sha256": sha256,
                    "role": role,
                    "name": file.name if file else "",
                    "size": in_bytes(file.size_bytes) if file else "",
                    "execution_id": file.execution_id if file else row["execution_id"],
                    "here": store.path_of(archive.root, sha256).is_file(),
                    "measurements": [],
                    "evidence": False,
                },
            )
            each["measurements"].append(f"{row['label']} {row['metric']}")
            each["evidence"] |= name in admitted
    return sorted(found.values(), key=lambda each: (not each["evidence"], each["role"]))
