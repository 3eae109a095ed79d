"""The files that people read: claims.json, claims.md and one claims.html that needs nothing else.

Equal ledgers give equal pages: nothing in them is of the moment or the machine that built them.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.errors import IntegrityError
from repro.ledger import durable
from repro.report.archive import Archive
from repro.report.rounding import in_errors, rounded, with_error

HTML = "claims.html"
MAX_GRIDS = 24
MARKS = {
    "supported": "✓",
    "refuted": "✗",
    "indistinguishable": "≈",
    "unproven": "?",
    "stale": "⟳",
}
RESULTS = {"shows": "✓", "does not show": "✗", "shows the opposite": "✗", "not run": "·"}
METRICS = {
    "fid": "FID",
    "kid": "KID",
    "precision": "Precision",
    "recall": "Recall",
    "isc": "Inception score",
}


def write(folder: Path, told: Mapping[str, Any], archive: Archive) -> None:
    """Write the three files of a study, each whole or not at all."""
    replace(folder / "claims.json", _json(told))
    replace(folder / "claims.md", rendered("claims.md.jinja", told))
    seen = {
        "sheets": _sheets(told, archive),
        "grids": _grids(told, archive),
        "charts": _charts(told, archive),
    }
    replace(folder / HTML, rendered("claims.html.jinja", {**told, **seen}))


def rendered(template: str, told: Mapping[str, Any]) -> str:
    """A page of the package's templates, with these facts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("repro.report"),
        autoescape=".html" in template,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["date"] = lambda time: f"{time[:16].replace('T', ' ')} UTC"
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["rounded"] = rounded
    environment.filters["plain"] = _plain
    environment.filters["prose"] = _prose
    environment.filters["value"] = with_error
    environment.filters["errors"] = in_errors
    environment.filters["flat"] = _flat
    environment.filters["cell"] = _cell
    environment.filters["metric"] = lambda name: METRICS.get(name, name)
    environment.globals.update(marks=MARKS, results=RESULTS)
    return environment.get_template(template).render(told)


def _sheets(told: Mapping[str, Any], archive: Archive) -> list[dict[str, Any]]:
    """The sample sheet of each evaluation, once, as data."""
    found: dict[str, dict[str, Any]] = {}
    for name, each in told["measurements"].items():
        if each["sheet"] and each["sheet"] not in found:
            source = _picture(each["sheet"], archive)
            if source:  # else the row that rests on it says what is gone
                found[each["sheet"]] = {"source": source, "measurement": name}
    return list(found.values())


def _grids(told: Mapping[str, Any], archive: Archive) -> list[dict[str, Any]]:
    """The first pictures that probes left, as data."""
    shown = told["pictures"][:MAX_GRIDS]
    found = [{**each, "source": _picture(each["sha256"], archive)} for each in shown]
    return [each for each in found if each["source"]]


def _picture(sha256: str, archive: Archive) -> str | None:
    """A stored PNG as data, unless it is gone or was changed."""
    try:
        png = archive.check(sha256).read_bytes()
    except IntegrityError:
        return None
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _charts(told: Mapping[str, Any], archive: Archive) -> dict[str, Any]:
    from repro.report import plots

    values = [
        plots.values([told["measurements"][name] for name in table["measurements"]], METRICS)
        for table in told["tables"]
        if table["metric"] == "fid"
    ]
    told_of = archive.curves(told["trainings"])
    curves = [
        {"title": title, "pictures": pictures}
        for stage_id, title in told["trainings"].items()
        if (pictures := plots.curves(told_of.get(stage_id, {})))
    ]
    imported = [plots.imported(group, METRICS) for group in told["imported"]["groups"]]
    asked = {plot["name"]: plots.asked(plot, METRICS) for plot in told["plots"]}
    return {"values": values, "curves": curves, "imported": imported, "asked": asked}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested facts as dotted names and values."""
    found: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _cell(text: str) -> str:
    """Text from elsewhere as it can stand in a table or a heading of Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def _plain(value: Any) -> str:
    """A value of a spec as TOML has it; nothing where it is not set."""
    return "–" if value is None else json.dumps(value, ensure_ascii=False)


def _prose(text: str) -> Any:
    """A sentence for the page: what stands between backticks is code, between stars stressed."""
    from markupsafe import Markup, escape

    return Markup(_MARKED.sub(_marked, str(escape(text))))


_MARKED = re.compile(r"`([^`]+)`|(?<![\w*])\*(\S(?:[^*`]*\S)?)\*(?![\w*])")


def _marked(found: re.Match[str]) -> str:
    code, stressed = found.groups()
    return f"<em>{stressed}</em>" if code is None else f"<code>{code}</code>"


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def replace(path: Path, text: str) -> None:
    """Write a page whole or not at all.

    Raises:
        LedgerError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    except OSError as error:
        raise durable.refused(path, error, what="the page is not written") from error
