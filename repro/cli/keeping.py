"""Commands that look after the ledger itself."""

import sys

import click

from repro import terminal
from repro.cli.options import Places, as_json


@click.group()
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
