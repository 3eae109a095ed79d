"""Pin the ids of specs: `<name>.id` beside `<name>.toml`, held by the tests.

`python tools/pin_ids.py SPEC...` writes the files that are not there. A file that is there and
differs is left alone and named, because its ids may stand in ledgers and papers. `--move` replaces
it: a decision, which belongs in CHANGELOG.md under "Identities".
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from repro.spec import load, run_id, stages


def pinned(path: Path) -> str:
    """The ids of a spec file: a line a run, then a line a stage of it."""
    lines = []
    for spec in load(path):
        lines.append(f"run {run_id(spec)}")
        lines.extend(f"  {each.kind} {each.stage_id} {each.name}" for each in stages(spec))
    return "\n".join(lines) + "\n"


def pin(path: Path, *, move: bool) -> bool:
    """Write the ids of a spec beside it; False when others are there and stay."""
    beside, text = path.with_suffix(".id"), pinned(path)
    if beside.exists() and beside.read_text(encoding="utf-8") != text and not move:
        print(f"{beside}: other ids are pinned; to replace them, say --move", file=sys.stderr)
        return False
    beside.write_text(text, encoding="utf-8")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Pin every file that is named."""
    parser = argparse.ArgumentParser(description="Pin the ids of specs in files beside them.")
    parser.add_argument("specs", nargs="+", type=Path)
    parser.add_argument("--move", action="store_true", help="replace ids that differ")
    given = parser.parse_args(arguments)
    results = [pin(path, move=given.move) for path in given.specs]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
