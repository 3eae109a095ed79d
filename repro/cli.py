"""The command line: parse, call one function of the same name, print.

Standard output is data, standard error is talk. Exit status 0: done, or supported. 1: the answer is
no. 2: it could not be checked. Torch is imported by the commands that compute, and by no other.
"""

import io
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from repro import __version__, terminal
from repro.errors import ReproError

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=VALUE",
    help="Replace one value of the spec; repeatable.",
)
rehearse = click.option(
    "--rehearse", is_flag=True, help="Run the whole plan small; never evidence."
)
offline = click.option("--offline", is_flag=True, help="Fetch nothing; say what is missing.")


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="[auto|cpu|cuda|cuda:N|mps]",
    callback=lambda context, option, name: _device(name),
    help="Where to compute.",
)


class Places:
    """Where the ledger and the cache are, for every command."""

    def __init__(self, ledger: Path, cache: Path) -> None:
        self.ledger = ledger
        self.cache = cache


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--ledger",
    type=FOLDER,
    default=Path("ledger"),
    envvar="REPRO_LEDGER",
    show_default=True,
    help="The ledger's folder.",
)
@click.option(
    "--cache",
    type=FOLDER,
    envvar="REPRO_CACHE",
    help="Where fetched data and weights are kept.  [default: ~/.cache/repro]",
)
@click.pass_context
def repro(context: click.Context, ledger: Path, cache: Path | None) -> None:
    """Experiments you can defend."""
    context.obj = Places(ledger, cache or _default_cache())


@repro.command()
@click.argument("specs", nargs=-1, required=True, type=FILE)
@overrides
@rehearse
@offline
@device_option
@as_json
@click.pass_obj
def run(
    places: Places,
    specs: tuple[Path, ...],
    overrides: tuple[str, ...],
    rehearse: bool,
    offline: bool,
    device: str,
    json_: bool,
) -> None:
    """Run what the ledger does not hold yet. To resume, run the same command again."""
    from attrs import asdict

    from repro.engine.run import run as run_specs

    outcomes = run_specs(
        specs,
        overrides=overrides,
        rehearse=rehearse,
        offline=offline,
        device=device,
        root=places.ledger,
        cache=places.cache,
        progress=terminal.Bars(),
        show_plan=terminal.say_plan,
    )
    if json_:
        terminal.print_json([asdict(outcome) for outcome in outcomes])
    for outcome in outcomes:
        if not json_:
            terminal.print_outcome(outcome)
        terminal.say_outcome(outcome)
    sys.exit(1 if any(outcome.status == "failed" for outcome in outcomes) else 0)


@repro.command()
@click.argument("spec", type=FILE)
@overrides
@rehearse
@offline
@as_json
@click.pass_obj
def plan(
    places: Places,
    spec: Path,
    overrides: tuple[str, ...],
    rehearse: bool,
    offline: bool,
    json_: bool,
) -> None:
    """Show the stages: done, to do and why, missing and how to get it."""
    from attrs import asdict

    from repro.engine.plan import plan as plan_run
    from repro.spec import load, rehearsal

    plans = [
        plan_run(
            rehearsal(each) if rehearse else each,
            root=places.ledger,
            cache=places.cache,
            rehearsal=rehearse,
            offline=offline,
        )
        for each in load(spec, overrides=overrides)
    ]
    if json_:
        terminal.print_json([asdict(each) for each in plans])
    else:
        for each in plans:
            terminal.print_plan(each)
    if any(each.blocked for each in plans):
        sys.exit(2)


@repro.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path),
    help="A file or folder that you have, tried before any download.",
)
@offline
@as_json
@click.pass_obj
def fetch(
    places: Places, names: tuple[str, ...], given: Path | None, offline: bool, json_: bool
) -> None:
    """Fetch data and weights into the cache: cifar10, fashion-mnist, inception."""
    from repro.engine import resources

    if given and len(names) > 1:
        raise click.UsageError("--from is the path of one resource; fetch one at a time")
    bars = terminal.Bars()
    paths = {
        name: resources.fetch(
            name,
            cache=places.cache,
            given=given,
            offline=offline,
            notify=bars.notify,
            track=bars.track,
        )
        for name in names
    }
    if json_:
        terminal.print_json(paths)
        return
    for name, path in paths.items():
        terminal.print_line(f"{name}  {path}")


@repro.command()
@click.argument("studies", nargs=-1)
@click.option(
    "--claims", is_flag=True, help="Print the verdicts; exit 1 if one is not as expected."
)
@click.option(
    "--reports", type=FOLDER, default=Path("reports"), show_default=True, help="Claims and pages."
)
@as_json
@click.pass_obj
def report(
    places: Places, studies: tuple[str, ...], claims: bool, reports: Path, json_: bool
) -> None:
    """Build the evidence pages of each study (default: all that have a claims.toml)."""
    from repro.report import build

    built = build(places.ledger, reports, studies=studies or None, progress=terminal.Bars())
    if json_:
        terminal.print_json([study.facts for study in built])
    elif claims:
        for study in built:
            terminal.print_claims(study)
    for study in built:
        terminal.say(f"{study.name}: {study.page}")
    if claims:
        sys.exit(max((study.exit_status for study in built), default=0))


@repro.command()
@click.argument("statement")
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Bind $NAME in the statement; repeatable.",
)
@as_json
@click.option("--csv", is_flag=True, help="Print CSV.")
@click.option("--parquet", type=FILE, help="Write the rows to a Parquet file.")
@click.pass_obj
def sql(
    places: Places,
    statement: str,
    parameters: tuple[str, ...],
    json_: bool,
    csv: bool,
    parquet: Path | None,
) -> None:
    """Query the ledger: a SELECT, or the name of a query in ledger/queries."""
    from repro.ledger import export_parquet, named_query, query

    if sum((json_, csv, parquet is not None)) > 1:
        msg = "give at most one of --json, --csv and --parquet"
        raise click.UsageError(msg)
    statement = named_query(places.ledger, statement)
    bound = dict(_named_value(each) for each in parameters)
    if parquet:
        num_rows = export_parquet(places.ledger, statement, parquet, bound)
        terminal.say(f"{num_rows} rows in {parquet}")
        return
    with terminal.working("query"):
        table = query(places.ledger, statement, bound)
    for warning in table.warnings:
        terminal.say(f"warning: {warning}")
    if json_:
        terminal.print_json([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    elif csv:
        terminal.print_csv(table.columns, table.rows)
    else:
        terminal.print_table(table.columns, table.rows)


@repro.command()
@click.argument("id_", metavar="ID")
@as_json
@click.pass_obj
def show(places: Places, id_: str, json_: bool) -> None:
    """Show a run or an execution by its id, or by a beginning of it that only one has."""
    from repro.ledger import describe

    facts = describe(places.ledger, id_)
    if json_:
        terminal.print_json(facts)
    else:
        terminal.print_facts(facts)


@repro.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--all", "all_", is_flag=True, help="Everything (the default without an ID).")
@as_json
@click.pass_obj
def verify(places: Places, id_: str | None, all_: bool, json_: bool) -> None:
    """Re-read records, seals and artifacts; name the first broken link."""
    from attrs import asdict

    from repro.ledger import verify as verify_ledger

    if id_ and all_:
        raise click.UsageError("give an ID or --all, not both")
    with terminal.working("verify"):
        findings = verify_ledger(places.ledger, id_)
    if json_:
        terminal.print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            terminal.print_line(str(finding))
    terminal.say("verified" if not findings else f"{len(findings)} broken")
    sys.exit(1 if findings else 0)


@repro.group()
def ledger() -> None:
    """Look after the ledger itself."""


@ledger.command()
@as_json
@click.pass_obj
def rebuild(places: Places, json_: bool) -> None:
    """Make ledger.duckdb again from the segments."""
    from repro.ledger import rebuild as rebuild_ledger

    with terminal.working("rebuild"):
        folded = rebuild_ledger(places.ledger)
    if json_:
        terminal.print_json({"records": folded.num_records, "problems": folded.problems})
    else:
        terminal.print_line(f"{folded.num_records} records")
        for problem in folded.problems:
            terminal.print_line(problem)
    sys.exit(1 if folded.problems else 0)


@ledger.command()
@as_json
@click.pass_obj
def head(places: Places, json_: bool) -> None:
    """Print one digest over all seals, small enough for a commit message."""
    from repro.ledger import head as ledger_head

    digest = ledger_head(places.ledger)
    if json_:
        terminal.print_json({"head": digest})
    else:
        terminal.print_line(digest)


@repro.command()
@click.option("--full", is_flag=True, help="Also the slow known answer: FID of 10,000 images.")
@device_option
@as_json
@click.pass_obj
def selftest(places: Places, full: bool, device: str, json_: bool) -> None:
    """Hold this machine's evaluator to its known answers."""
    from repro.engine.evaluation.selftest import selftest as run_selftest

    checks = run_selftest(full=full, cache=places.cache, device=device, progress=terminal.Bars())
    if json_:
        terminal.print_json(checks)
    else:
        terminal.print_checks(checks)
    sys.exit(0 if all(check["passed"] for check in checks) else 1)


def main() -> NoReturn:
    """Run a command; a mistake of the user is a line on standard error, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that knows no tick gets a question mark
    try:
        repro(standalone_mode=False)
    except ReproError as error:
        terminal.say(str(error))
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        terminal.say("interrupted; nothing recorded is lost, the same command goes on from there")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", name):
        msg = f"--device {name}: expected auto, cpu, cuda, cuda:N or mps"
        raise click.UsageError(msg)
    return name


def _named_value(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not name or not equals:
        msg = f"--param {option}: expected NAME=VALUE"
        raise click.UsageError(msg)
    return name, value


def _default_cache() -> Any:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "repro"
