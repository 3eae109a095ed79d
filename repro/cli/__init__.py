"""The command line: parse, call one function of the same name, print.

Standard output is data, standard error is talk. Exit status 0: done, or supported. 1: the answer is
no. 2: it could not be checked. Torch is imported by the commands that compute, and by no other.
"""

import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from repro import __version__, terminal
from repro.cli import exchange, keeping, past, reading, running
from repro.cli.options import FOLDER, Places
from repro.errors import ReproError

COMMANDS = (
    running.run,
    running.plan,
    running.fetch,
    running.selftest,
    reading.report,
    reading.sql,
    reading.show,
    reading.verify,
    past.diff,
    past.explain,
    past.changelog,
    past.rerun,
    exchange.import_,
    exchange.export,
    exchange.bundle,
    keeping.gc,
    keeping.ledger,
)


@click.group(commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
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


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "repro"
