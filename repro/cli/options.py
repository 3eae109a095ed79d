"""What commands share: where things lie, and the options that several take."""

import re
from pathlib import Path

import click

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


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", name):
        msg = f"--device {name}: expected auto, cpu, cuda, cuda:N or mps"
        raise click.UsageError(msg)
    return name


def named_value(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not name or not equals:
        msg = f"--param {option}: expected NAME=VALUE"
        raise click.UsageError(msg)
    return name, value
