"""What a person sees: trees, tables, bars. Data goes to standard output, talk to standard error."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.engine.plan import PlannedStage, RunPlan
    from repro.engine.progress import Advance
    from repro.engine.run import Outcome
    from repro.report import StudyReport

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
    _console().print(_tree(plan))


def say_plan(plan: "RunPlan") -> None:
    """Draw the same tree on standard error, before the work starts."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(_tree(plan))


def _tree(plan: "RunPlan") -> Any:
    from rich.markup import escape
    from rich.tree import Tree

    tree = Tree(f"[bold]{escape(plan.title)}[/]  run {plan.run_id}")
    branches, depths = {"": tree}, {"": 0}
    for stage in plan.stages:
        parent = max(stage.inputs, key=depths.__getitem__, default="")  # the longest way here
        branches[stage.stage_id] = branches[parent].add(_label(stage))
        depths[stage.stage_id] = depths[parent] + 1
        for missing in stage.missing:
            branches[stage.stage_id].add(f"[red]missing:[/] {escape(missing)}")
    return tree


def _label(stage: "PlannedStage") -> str:
    from rich.markup import escape

    name = f"{stage.kind} {escape(stage.name)}"
    return f"{MARKS[stage.state]} {name}  [dim]{stage.stage_id}  {escape(stage.why)}[/]"


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV (RFC 4180), a header first; an absent value is an empty field."""
    import csv

    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(rows)


def print_outcome(outcome: "Outcome") -> None:
    """One line a measurement, run id first; then whether anything had to be computed."""
    for each in outcome.measurements:
        error = "" if each["se"] is None else f" ± {each['se']:.2g}"
        print_line(
            f"{outcome.run_id}  {each['evaluation']}  {each['metric']} {each['value']:.6g}{error}"
            f"  n={each['num_samples']}  protocol {each['protocol_id']}"
        )
    done = "by" if outcome.computed else "nothing to do: finished by"
    say(f"{outcome.title}: {done} execution {outcome.execution_id}")


def print_claims(study: "StudyReport") -> None:
    """The claim-to-evidence matrix of a study: claims, verdicts, evidence, reasons."""
    for problem in study.problems:
        say(problem)
    names = {key: each["evaluation"] for key, each in study.facts.get("measurements", {}).items()}
    print_table(
        ("claim", "verdict", "as expected", "admitted", "refused by", "why"),
        [
            (
                each["name"],
                each["verdict"],
                "yes" if each["as_expected"] else f"no: expected {each['expect']}",
                ", ".join(names[one["measurement"]] for one in each["admitted"]),
                ", ".join(_refused(each["refused"], names)),
                each["why"],
            )
            for each in study.facts.get("claims", ())
        ],
    )


def _refused(refused: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Iterator[str]:
    for one in refused:
        rules = " and ".join(each["rule"] for each in one["refusals"])
        yield f"{names.get(one['measurement'], one['side'])}: {rules}"


def print_facts(facts: Mapping[str, Any]) -> None:
    """Nested facts, a dotted path and a value a line."""
    for path, value in flat(facts):
        print_line(f"{path}  {value}")


def print_checks(checks: Iterable[Mapping[str, Any]]) -> None:
    """One known answer a line: whether it came out, what did, what should have."""
    print_table(
        ("check", "passed", "found", "expected", "tolerance"),
        [
            (each["name"], each["passed"], each["found"], each["expected"], each["tolerance"])
            for each in checks
        ],
    )


def _console() -> Any:
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 10_000
    return Console(width=wide, highlight=False, soft_wrap=not sys.stdout.isatty())


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show on a terminal that something of unknown length is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


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


def flat(value: Any, *, path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested facts as dotted paths with their values."""
    match value:
        case Mapping():
            for key, item in value.items():
                yield from flat(item, path=f"{path}.{key}" if path else key)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from flat(item, path=f"{path}.{index}")
        case _:
            yield path, value
