"""Commands that look back: what changed, why an id moved, how a study came to where it is."""

import sys
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import FOLDER, Places, as_json, device_option, offline


@click.command()
@click.argument("old")
@click.argument("new")
@as_json
@click.pass_obj
def diff(places: Places, old: str, new: str, json_: bool) -> None:
    """Show what differs between two executions: spec, code, environment, measurements.

    OLD and NEW are beginnings of ids of runs or executions, or spec files that have been run.
    """
    from attrs import asdict

    from repro.report import diff as diffs

    with terminal.working("diff"):
        found = diffs.diff(places.ledger, old, new)
    if json_:
        terminal.print_json(asdict(found))
    else:
        for line in diffs.lines(found):
            terminal.print_line(line)


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=VALUE",
    help="Replace one value of the spec NEW; repeatable.",
)
@as_json
@click.pass_obj
def explain(places: Places, old: str, new: str, overrides: tuple[str, ...], json_: bool) -> None:
    """Say why two runs have different ids: which fields differ, which stages they share.

    OLD and NEW are spec files, or beginnings of ids of recorded runs or executions. One file as
    both, with --set, says what that moves.
    """
    from attrs import asdict

    from repro.report import explain as explanations

    found = explanations.explain(places.ledger, old, new, overrides=overrides)
    if json_:
        terminal.print_json(asdict(found))
    else:
        for line in explanations.lines(found):
            terminal.print_line(line)


@click.command()
@click.argument("study")
@as_json
@click.pass_obj
def changelog(places: Places, study: str, json_: bool) -> None:
    """Tell what each run of a study changed and what came of it, oldest first, as Markdown."""
    from attrs import asdict

    from repro.report import changelog as changelogs

    with terminal.working("changelog"):
        entries = changelogs.changelog(places.ledger, study)
    if json_:
        terminal.print_json([asdict(entry) for entry in entries])
    else:
        for line in changelogs.lines(entries):
            terminal.print_line(line)


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--folder", type=FOLDER, help="A new folder to run in.  [default: in the ledger]")
@click.option(
    "--reports", type=FOLDER, default=Path("reports"), show_default=True, help="Claims and pages."
)
@offline
@device_option
@as_json
@click.pass_obj
def rerun(
    places: Places,
    id_: str,
    folder: Path | None,
    reports: Path,
    offline: bool,
    device: str,
    json_: bool,
) -> None:
    """Run a finished run once more, in a fresh folder, with its own code; say what came out.

    ID is how a run's or an execution's id begins. The verdict is bitwise, within tolerance, claim
    holds, or diverged at a stage, and is kept in the ledger.
    """
    from repro.engine.rerun import rerun as run_again
    from repro.report import rerun as reruns

    comparison = run_again(
        places.ledger,
        id_,
        cache=places.cache,
        compare=lambda again: reruns.compare(
            places.ledger,
            again.execution_id,
            again.root,
            again.again_id,
            code=again.code,
            reports=reports,
        ),
        folder=folder,
        device=device,
        offline=offline,
        progress=terminal.Bars(),
    )
    if json_:
        terminal.print_json(comparison.facts)
    else:
        for line in reruns.lines(comparison):
            terminal.print_line(line)
    sys.exit(1 if comparison.grade == "diverged" else 0)
