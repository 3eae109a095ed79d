"""Plots as SVG that follow the reader's light or dark theme."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Mapping[str, Sequence[tuple[int, float]]]

INK, FAINT, ACCENT = "#010101", "#020202", "#030303"
SERIES = ("#040404", "#050505", "#060606", "#070707", "#080808", "#090909")
THEMES = {
    "light": {INK: "#1c2430", FAINT: "#8a94a3", ACCENT: "#2f6fde"},
    "dark": {INK: "#e4e8ee", FAINT: "#7d8896", ACCENT: "#79a8ff"},
}
SERIES_COLOURS = {
    "light": ("#2f6fde", "#d9822b", "#2a9d6f", "#b5487d", "#7a5cc4", "#6b7280"),
    "dark": ("#79a8ff", "#f0a860", "#5fd0a0", "#ea86b4", "#b39cf0", "#a3adba"),
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "repro",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
CONFIDENCE = 1.96
LOG_FROM_RATIO = 20.0
MAX_MARKS = 40
LABEL_CHARS = 36


def values(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """A row's value with its 95 % interval, and hollow beside it the one for infinite n."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 0.8 + 0.36 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        heights = range(len(rows), 0, -1)
        for height, row in zip(heights, rows, strict=True):
            spread = CONFIDENCE * (row["se"] or 0.0)
            axes.errorbar(
                row["value"], height, xerr=spread, fmt="o", color=ACCENT, capsize=4, markersize=6
            )
            if row["extrapolated"] is not None:
                axes.plot(row["extrapolated"], height, "o", mfc="none", mec=FAINT, markersize=6)
        axes.set_yticks(list(heights), [row["evaluation"] for row in rows])
        axes.set_ylim(0.4, len(rows) + 0.6)
        if _wide(rows):
            axes.set_xscale("log")
        axes.set_xlabel(f"{names[rows[0]['metric']]}, n = {rows[0]['num_samples']:,}")
        axes.grid(visible=True, axis="x", color=FAINT, alpha=0.25)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return _data_uri(figure)


def curves(series: Lines) -> tuple[str, ...]:
    """The energies of a drifting generator, a picture for each of its spaces; else the loss."""
    return tuple(_panel(title, lines) for title, lines in _panels(series).items())


def imported(group: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Numbers of others: a mark for each of a few, a curve for each of the longest runs of many."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    told = [
        (run["run"], step, value)
        for run in group["runs"]
        for step, value in run["numbers"]
        if value is not None
    ]
    many = len(told) > MAX_MARKS and any(step is not None for _, step, _ in told)
    told = told[:MAX_MARKS]
    with rc_context(STYLE):
        size = (6.2, 2.9) if many else (6.2, 0.9 + 0.25 * len(told))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        label = _short(names.get(group["metric"], group["metric"]))
        if many:
            _curves_of_others(axes, group["runs"])
            axes.set_ylabel(label)
            figure.legend(loc="outside upper left", ncols=3, fontsize=8, frameon=False)
        else:
            _marks_of_others(axes, told)
            axes.set_xlabel(label)
        axes.grid(visible=True, color=FAINT, alpha=0.25)
        return _data_uri(figure)


def _marks_of_others(axes: "Axes", told: Sequence[tuple[str, int | None, float]]) -> None:
    heights = range(len(told), 0, -1)
    axes.plot([value for *_, value in told], heights, "o", mfc="none", mec=ACCENT)
    labels = [run if step is None else f"{run}, step {step:,}" for run, step, _ in told]
    axes.set_yticks(list(heights), [_short(label) for label in labels], fontsize=9)
    axes.set_ylim(0.4, len(told) + 0.6)


def _short(label: str) -> str:
    """A label that leaves room for the plot; its end often says more than its middle."""
    if len(label) > LABEL_CHARS:
        label = f"{label[: LABEL_CHARS // 3]}…{label[1 - LABEL_CHARS + LABEL_CHARS // 3 :]}"
    return label.replace("$", r"\$")  # which would begin a formula


def _curves_of_others(axes: "Axes", runs: Sequence[Mapping[str, Any]]) -> None:
    longest = sorted(runs, key=lambda run: -run["count"])[: len(SERIES)]
    for colour, run in zip(SERIES, longest, strict=False):
        points = [point for point in run["numbers"] if None not in point]
        steps, numbers = zip(*points, strict=True) if points else ((), ())
        axes.plot(steps, numbers, color=colour, linewidth=1.3, label=_short(run["run"]))
    axes.set_xlabel("step")


def _panel(title: str, lines: Lines) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4.0, 2.7), layout="constrained")
        axes = figure.add_subplot()
        for colour, (label, points) in zip(SERIES * len(lines), lines.items(), strict=False):
            steps, numbers = zip(*points, strict=True)
            axes.plot(steps, numbers, color=colour, linewidth=1.3, label=label)
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel("step")
        axes.grid(visible=True, color=FAINT, alpha=0.2)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=9, labelcolor=INK)
        return _data_uri(figure)


def _wide(rows: Sequence[Mapping[str, Any]]) -> bool:
    shown = [
        value for row in rows for value in (row["value"], row["extrapolated"]) if value is not None
    ]
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


def _data_uri(figure: "Figure") -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    placeholders = (INK, FAINT, ACCENT, *SERIES)
    for number, colour in enumerate(placeholders):
        svg = svg.replace(colour, f"var(--c{number})")
    head, tag, rest = svg.partition("<defs>")
    light, dark = (_variables(theme) for theme in ("light", "dark"))
    fonts = "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif!important}"
    media = f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    svg = f"{head}<style>:root{{{light}}}{media}{fonts}</style>{tag}{rest}"
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _variables(theme: str) -> str:
    colours = (*THEMES[theme].values(), *SERIES_COLOURS[theme])
    return ";".join(f"--c{number}:{colour}" for number, colour in enumerate(colours))
