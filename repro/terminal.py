"""What a person sees: trees, tables, bars. Data goes to standard output, talk to standard error."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.tree import Tree

    from repro.engine.plan import PlannedStage, RunPlan
    from repro.engine.progress import Advance

MARKS = {"done": "[green]✓[/]", "to do": "[yellow]•[/]", "blocked": "[red]✗[/]"}


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    json.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
    sys.stdout.write("\n")


def print_line(text: str) -> None:
    """Write one line of data to standard output."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Write one line of talk to standard error."""
    sys.stderr.write(f"{text}\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Draw a table; a pipe gets it as wide as it needs, a terminal as wide as it is."""
    from rich.table import Table

    table = Table(*columns, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    _console().print(table)


def print_plan(plan: "RunPlan") -> None:
    """Draw the stages of a run as a tree: done, to do and why, missing and how to get it."""
    from rich.markup import escape
    from rich.tree import Tree

    tree = Tree(f"[bold]{escape(plan.title)}[/]  run {plan.run_id}")
    branches: dict[str, Tree] = {}
    for stage in plan.stages:
        parent = next((branches[each] for each in reversed(stage.inputs) if each in branches), tree)
        branches[stage.stage_id] = parent.add(_label(stage))
        for missing in stage.missing:
            branches[stage.stage_id].add(f"[red]missing:[/] {escape(missing)}")
    _console().print(tree)


def _label(stage: "PlannedStage") -> str:
    from rich.markup import escape

    return f"{MARKS[stage.state]} {escape(stage.name)}  [dim]{stage.stage_id}  {escape(stage.why)}[/]"


def _console() -> Any:
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 10_000
    return Console(width=wide, highlight=False, soft_wrap=not sys.stdout.isatty())


class Bars:
    """Progress bars on standard error; a pipe or a file gets the notices only."""

    def notify(self, text: str) -> None:
        """Say one line."""
        say(text)

    @contextmanager
    def track(self, label: str, total: int) -> Iterator["Advance"]:
        """Show a bar with the elapsed and the remaining time."""
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            task = bars.add_task(escape(label), total=total, note="")

            def advance(amount: int, note: str = "") -> None:
                bars.update(task, advance=amount, note=escape(note))

            yield advance


def flat(facts: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested facts as dotted paths, for a table of two columns."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from flat(value, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
