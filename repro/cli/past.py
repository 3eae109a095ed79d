"""Commands that look back: what changed, why an id moved, how a study came to where it is."""

import click

from repro import terminal
from repro.cli.options import Places, as_json, overrides


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
@overrides
@as_json
@click.pass_obj
def explain(places: Places, old: str, new: str, overrides: tuple[str, ...], json_: bool) -> None:
    """Say why two runs have different ids: which fields differ, which stages they share.

    OLD and NEW are spec files, or beginnings of ids of recorded runs or executions.
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
