"""Commands that look after the ledger itself."""

import sys
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import FILE, Places, as_json

SECONDS_A_DAY = 86_400.0


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


@click.command()
@click.option("--delete", is_flag=True, help="Remove it. Without this nothing is changed.")
@click.option(
    "--keep-checkpoints", is_flag=True, help="Keep the weights of every checkpoint of a run."
)
@click.option(
    "--give-up",
    "give_up_days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Keep nothing but code of runs that never finished, and of rehearsals, whose last attempt"
    " is older.",
)
@click.option("--report", "page", type=FILE, help="Write a page about the store (Markdown).")
@as_json
@click.pass_obj
def gc(
    places: Places,
    delete: bool,
    keep_checkpoints: bool,
    give_up_days: float | None,
    page: Path | None,
    json_: bool,
) -> None:
    """Show which artifacts nothing rests on any more; with --delete, remove them.

    What a verdict weighed stays, with all that it rests on; so does what a finished run left, but
    for training states and checkpoints that it made no images from; so does what an unfinished run
    goes on from. Each removal leaves a tombstone.
    """
    from attrs import asdict

    from repro.ledger.gc import collect
    from repro.ledger.retention import Policy
    from repro.report import hygiene

    give_up_s = None if give_up_days is None else give_up_days * SECONDS_A_DAY
    with terminal.working("gc"):
        found = collect(
            places.ledger,
            Policy(keep_checkpoints=keep_checkpoints, give_up_s=give_up_s),
            delete=delete,
            command=sys.argv,
        )
    if page:
        hygiene.write(places.ledger, found, page)
        terminal.say(str(page))
    if json_:
        terminal.print_json(asdict(found))
    else:
        terminal.print_holdings(hygiene.facts(places.ledger, found))
    terminal.say_collected(found)
