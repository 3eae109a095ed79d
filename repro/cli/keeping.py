"""Commands that look after the ledger itself."""

import sys
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import FILE, Places, as_json


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
@click.option(
    "--sign",
    "private_key",
    type=FILE,
    metavar="KEY",
    help="Sign it with this Ed25519 private key, OpenSSH or PEM.",
)
@click.option("--out", type=FILE, help="Write the statement, or the signed one, here as well.")
@as_json
@click.pass_obj
def head(places: Places, private_key: Path | None, out: Path | None, json_: bool) -> None:
    """Print one digest over all seals, small enough for a commit message.

    The statement that it is the digest of is kept in the ledger. Keep the digest, or the file, in
    another place too: `repro verify --against` takes both.
    """
    from repro.ledger import take_head

    taken = take_head(
        places.ledger,
        out=out,
        private_key=private_key,
        passphrase=lambda: str(click.prompt("passphrase", hide_input=True, err=True)),
    )
    if json_:
        terminal.print_json({"head": taken.head, "files": taken.files})
    else:
        terminal.print_line(taken.head)
        for file in taken.files:
            terminal.say(str(file))
    if taken.problem:
        terminal.say(taken.problem)
