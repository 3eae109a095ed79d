"""The charts of a page: values with their intervals, curves of training, numbers of others."""

from collections.abc import Mapping, Sequence
from typing import Any

from repro.report import svg
from repro.report.svg import Line, Mark, Row

Lines = Mapping[str, Sequence[tuple[int, float]]]
LOG_FROM_RATIO = 20.0
MAX_MARKS = 40
X_NAMES = {"step": "step", "seconds": "seconds of training"}


def values(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """A row's value with its 95 % interval, and hollow beside it the one for infinite n."""
    drawn = [
        Row(
            label=row["label"],
            value=row["value"],
            se=row["se"],
            hollow=row["extrapolated"],
        )
        for row in rows
    ]
    metric = names.get(rows[0]["metric"], rows[0]["metric"])
    label = f"{metric}, n = {rows[0]['num_samples']:,}"
    return svg.rows(drawn, label=label, log=_wide(drawn))


def curves(series: Lines) -> tuple[str, ...]:
    """The energies of a drifting generator, a chart for each of its spaces; else the loss."""
    return tuple(
        svg.chart(
            [_curve(label, points) for label, points in lines.items()],
            x_label="step",
            y_label=title,
            size=(svg.PANEL_WIDTH, svg.PANEL_HEIGHT),
        )
        for title, lines in _panels(series).items()
    )


def imported(group: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Numbers of others: a mark for each of a few, a curve for each of the longest runs of many."""
    told = [
        (run["run"], step, value)
        for run in group["runs"]
        for step, value in run["numbers"]
        if value is not None
    ]
    label = names.get(group["metric"], group["metric"])
    if len(told) > MAX_MARKS and any(step is not None for _, step, _ in told):
        longest = sorted(group["runs"], key=lambda run: -run["count"])[: svg.NUM_COLOURS]
        lines = [
            _curve(run["run"], [point for point in run["numbers"] if None not in point])
            for run in longest
        ]
        return svg.chart(lines, x_label="step", y_label=label)
    marks = [
        Row(label=run if step is None else f"{run}, step {step:,}", value=value)
        for run, step, value in told[:MAX_MARKS]
    ]
    return svg.rows(marks, label=label, own=False)


def asked(plot: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A plot of a claims file; nothing while it has no point."""
    drawn = [each for each in plot["series"] if each["points"]]
    words = list(
        dict.fromkeys(
            point["x"] for each in drawn for point in each["points"] if isinstance(point["x"], str)
        )
    )
    if not drawn:
        return ""
    return svg.chart(
        [_asked(each, words, scatter=plot["scatter"]) for each in drawn],
        x_label=X_NAMES.get(plot["x"], names.get(plot["x"], _field_name(plot["x"]))),
        y_label=_of_all([each["metric"] for each in drawn], plot["metric"], names),
        log=plot["log"],
        words=words,
    )


def _of_all(metrics: Sequence[str], asked: str, names: Mapping[str, str]) -> str:
    """The metric of all series, or of which they are parts; several have no name in common."""
    alike = all(each == asked or each.startswith(f"{asked}.") for each in metrics)
    return names.get(asked, asked) if alike else "value"


def _field_name(path: str) -> str:
    """A field of a spec in words, without the table that it is in."""
    _, _, field = path.rpartition("sample.")
    return field.removeprefix("probe.").replace(".", " ").replace("_", " ")


def _asked(series: Mapping[str, Any], words: Sequence[str], *, scatter: bool) -> Line:
    marks = tuple(
        Mark(
            x=words.index(point["x"]) if isinstance(point["x"], str) else point["x"],
            y=point["y"],
            se=point["se"],
        )
        for point in series["points"]
    )
    return Line(label=series["label"], marks=marks, shape="dots" if scatter else "line and dots")


def _curve(label: str, points: Sequence[Sequence[float]]) -> Line:
    marks = tuple(Mark(x=step, y=value) for step, value in points)
    return Line(label=label, marks=marks, shape="line")


def _wide(rows: Sequence[Row]) -> bool:
    shown = [each for row in rows for each in (row.value, row.hollow) if each is not None]
    return bool(min(shown) > 0 and max(shown) / min(shown) > LOG_FROM_RATIO)


def _panels(series: Lines) -> dict[str, dict[str, Sequence[tuple[int, float]]]]:
    panels: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
    for name, points in series.items():
        head, _, rest = name.partition("/")
        if head == "energy" and rest:
            space, _, temperature = rest.rpartition("/")
            panels.setdefault(f"energy, {space}", {})[f"τ = {temperature}"] = points
    if not panels and "loss" in series:
        panels["loss"] = {"loss": series["loss"]}
    return panels
