"""Commands that compute, or say what would be computed."""

import sys
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import (
    FILE,
    Places,
    as_json,
    device_option,
    offline,
    overrides,
    rehearse,
)


@click.command()
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


@click.command()
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


@click.command()
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
    """Fetch data and weights into the cache: cifar10, fashion-mnist, stl10, inception."""
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


@click.command()
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
