"""Commands that take numbers in from elsewhere, and give them to others."""

import re
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import FOLDER, Places, as_json

ANY_PATH = click.Path(path_type=Path)


def _url(option: click.Parameter, text: str) -> str:
    """A web address: in a crate, any other text would be the name of a file that is not there."""
    if text and not re.fullmatch(r"https?://[^\s/]+\.\S+", text):
        msg = f"--{option.name.strip('_')} {text}: expected an address such as https://host.org/x"
        raise click.UsageError(msg)
    return text


@click.command("import")
@click.argument("format_", metavar="[mlflow|trackio|tensorboard|json]")
@click.argument("paths", nargs=-1, required=True, type=ANY_PATH)
@click.option("--study", default="", help="The study that the numbers belong to.")
@click.option("--source", default="", help="Where they come from.  [default: the format's name]")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; repeatable."
)
@as_json
@click.pass_obj
def import_(
    places: Places,
    format_: str,
    paths: tuple[Path, ...],
    study: str,
    source: str,
    metrics: tuple[str, ...],
    json_: bool,
) -> None:
    """Take in numbers of another tracker or a paper: to query and to draw, never evidence.

    MLflow's database, trackio's folder, TensorBoard's log folder, or files of numbers. Importing
    again adds what was logged since.
    """
    from attrs import asdict

    from repro.ledger.exchange import FORMATS, import_numbers

    if format_ not in FORMATS:
        raise click.UsageError(f"{format_}: expected one of: {', '.join(FORMATS)}")
    with terminal.working("import"):
        counts = import_numbers(
            places.ledger,
            format_,
            paths,
            study=study,
            source=source,
            metrics=metrics,
            notify=terminal.say,
        )
    if json_:
        terminal.print_json(asdict(counts))
    elif counts.execution_id is None:
        terminal.say(f"nothing new in {counts.numbers} numbers of {counts.runs} runs")
    else:
        terminal.print_line(
            f"{counts.execution_id}  {counts.added} of {counts.numbers} numbers added,"
            f" of {counts.runs} runs"
        )


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--out", type=FOLDER, required=True, help="The folder to make; it must not be there.")
@click.option(
    "--leave-out",
    multiple=True,
    metavar="ROLE",
    help="Leave artifacts in this role out, such as state or samples; repeatable.",
)
@click.option("--author", default="", help="Who ran it.")
@click.option(
    "--publisher",
    default="",
    metavar="URL",
    callback=lambda context, option, text: _url(option, text),
    help="The page of their organization.",
)
@click.option(
    "--license",
    "license_",
    default="",
    metavar="URL",
    callback=lambda context, option, text: _url(option, text),
    help="What others may do.",
)
@as_json
@click.pass_obj
def bundle(
    places: Places,
    ids: tuple[str, ...],
    out: Path,
    leave_out: tuple[str, ...],
    author: str,
    publisher: str,
    license_: str,
    json_: bool,
) -> None:
    """Give runs away: a folder with all that they rest on, and a program that checks it.

    An ID is how a run's or an execution's id begins. The folder is an RO-Crate; its verifier needs
    nothing but Python. Publish the digest that is printed: it names the bundle.
    """
    from attrs import asdict

    from repro.ledger.segment import utc_now
    from repro.report.bundle import About
    from repro.report.bundle import bundle as bundle_runs

    about = About(
        published=f"{utc_now():%Y-%m-%d}",
        author=author,
        publisher=publisher,
        license=license_,
    )
    with terminal.working("bundle"):
        made = bundle_runs(places.ledger, ids, out, about=about, leave_out=leave_out)
    if json_:
        terminal.print_json(asdict(made))
        return
    terminal.print_line(made.digest)
    terminal.say(
        f"{made.folder}: {made.num_executions} executions, {made.num_artifacts} artifacts,"
        f" {made.num_left_out} left out, {made.size_bytes} bytes"
    )


@click.group()
def export() -> None:
    """Give what the ledger holds to other programs."""


@export.command()
@click.argument("folder", type=FOLDER)
@as_json
@click.pass_obj
def parquet(places: Places, folder: Path, json_: bool) -> None:
    """Write every table and view to a new folder, a Parquet file each."""
    from repro.ledger.exchange import export_tables

    with terminal.working("export"):
        counts, warnings = export_tables(places.ledger, folder)
    for warning in warnings:
        terminal.say(f"warning: {warning}")
    if json_:
        terminal.print_json(counts)
    else:
        terminal.print_table(("table", "rows"), counts.items())


@export.command()
@click.argument("folder", type=FOLDER)
@as_json
@click.pass_obj
def tensorboard(places: Places, folder: Path, json_: bool) -> None:
    """Write curves, measurements and pictures to a new folder that TensorBoard reads."""
    from attrs import asdict

    from repro.ledger.exchange import export_events

    with terminal.working("export"):
        written = export_events(places.ledger, folder)
    if json_:
        terminal.print_json(asdict(written))
        return
    terminal.print_line(
        f"{written.runs} runs with {written.numbers} numbers and {written.pictures} pictures"
    )
    if written.missing:
        terminal.say(f"{written.missing} pictures are no longer in the store and were left out")


@export.command()
@click.argument("url")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@as_json
@click.pass_obj
def mlflow(places: Places, url: str, ids: tuple[str, ...], json_: bool) -> None:
    """Send sealed executions to the MLflow server at URL: all of them, or those that IDs begin."""
    from attrs import asdict

    from repro.ledger.exchange import export_mlflow

    with terminal.working("export"):
        sent = export_mlflow(places.ledger, url, ids, notify=terminal.say)
    if json_:
        terminal.print_json(asdict(sent))
    else:
        terminal.print_line(
            f"{sent.executions} executions sent with {sent.numbers} numbers,"
            f" {sent.known} were there"
        )
