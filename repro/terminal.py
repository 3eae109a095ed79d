"""What a person sees: trees, tables, bars. Data goes to standard output, talk to standard error."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.engine.plan import PlannedStage, RunPlan
    from repro.engine.progress import Advance
    from repro.engine.run import Outcome
    from repro.ledger import Verified
    from repro.ledger.gc import Collection
    from repro.report import StudyReport
    from repro.report.deep import Recomputed

UNLIMITED = 10_000
MARKS = {"done": "[green]✓[/]", "to do": "[yellow]•[/]", "blocked": "[red]✗[/]"}


def print_json(value: Any) -> None:
    """Write one JSON document to standard output; JSON has no NaN, so it is the text "nan"."""
    json.dump(
        _finite(value), sys.stdout, indent=2, default=str, ensure_ascii=False, allow_nan=False
    )
    sys.stdout.write("\n")


def print_line(text: str) -> None:
    """Write one line of data to standard output."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Write one line of talk to standard error."""
    sys.stderr.write(f"{text}\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Draw a table; on a terminal that is too narrow for it, a block of lines a row."""
    from rich.table import Column, Table
    from rich.text import Text

    console = _console()
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    table = Table(*(Column(Text(each)) for each in columns), show_edge=False, pad_edge=False)
    for row in texts:
        table.add_row(*map(Text, row))
    if console.measure(table).maximum <= console.width:
        console.print(table)
        return
    widest = max(map(len, columns))
    for row in texts:
        for column, cell in zip(columns, row, strict=True):
            print_line(f"{column:{widest}}  {cell}")
        print_line("")


def print_plan(plan: "RunPlan") -> None:
    """Draw the stages of a run as a tree: done, to do and why, missing and how to get it."""
    _wide().print(_tree(plan))
    for warning in plan.warnings:
        say(f"warning: {warning}")


def say_plan(plan: "RunPlan") -> None:
    """Draw the same tree on standard error, before the work starts."""
    _wide(stderr=True).print(_tree(plan))


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
    """One line a measurement, run id first."""
    for each in outcome.measurements:
        value = "none" if each["value"] is None else f"{each['value']:.6g}"
        error = "" if each["se"] is None else f" ± {each['se']:.2g}"
        print_line(
            f"{outcome.run_id}  {each['evaluation']}  {each['metric']} {value}{error}"
            f"  n={each['num_samples']}  protocol {each['protocol_id']}"
        )


def say_outcome(outcome: "Outcome") -> None:
    """Whether anything had to be computed, or why it failed."""
    said = {"done": "done by", "done before": "nothing to do, done by", "failed": "FAILED in"}
    say(f"{outcome.title}: {said[outcome.status]} execution {outcome.execution_id}")
    for problem in outcome.problems:
        say(f"  {problem}")


def say_verified(verified: "Verified", recomputed: "Recomputed | None") -> None:
    """How much was read again, and computed again; what could not be, and why."""
    say(
        f"read {len(verified.executions)} executions, {verified.num_records} records and"
        f" {verified.num_artifacts} artifacts; {verified.num_removed} were removed on purpose"
    )
    if recomputed is not None:
        for why in recomputed.unchecked:
            say(why)
        say(f"computed again {recomputed.num_plans} plans and {recomputed.num_values} values")


def print_holdings(facts: Mapping[str, Any]) -> None:
    """What the store holds, by reason: what stays, and what goes."""
    goes = "went" if facts["execution_id"] else "may go"
    print_table(
        ("files", "why", "number", "size"),
        [
            (what, each["why"], each["num_files"], each["size"])
            for what, reasons in (("stay", "kept_by_reason"), (goes, "gone_by_reason"))
            for each in facts[reasons]
        ],
    )


def say_collected(found: "Collection") -> None:
    """Whether anything was removed, and what to do if not."""
    num_files = len(found.gone) + len(found.leftovers)
    if found.execution_id:
        say(f"removed {num_files} files, {found.size_bytes} bytes; execution {found.execution_id}")
    elif num_files:
        say(f"{num_files} files, {found.size_bytes} bytes, may go; --delete removes them")
    else:
        say("nothing may go")


def print_claims(study: "StudyReport") -> None:
    """The claim-to-evidence matrix of a study: claims, verdicts, evidence, reasons."""
    for problem in study.problems:
        say(problem)
    if not study.facts.get("claims"):
        return
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
            for each in study.facts["claims"]
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


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _console() -> Any:
    """As wide as the terminal is; a pipe or a file has room for everything."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else _wide()


def _wide(*, stderr: bool = False) -> Any:
    """Cuts nothing off: the terminal wraps long lines itself."""
    from rich.console import Console

    return Console(width=UNLIMITED, highlight=False, soft_wrap=True, stderr=stderr)


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
