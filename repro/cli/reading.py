"""Commands that read the ledger and say what it holds."""

import sys
from pathlib import Path

import click

from repro import terminal
from repro.cli.options import FILE, FOLDER, Places, as_json, named_value


@click.command()
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
        if not study.problems:
            terminal.say(f"{study.name}: {study.page}")
        elif not claims or json_:  # else they are printed above
            for problem in study.problems:
                terminal.say(problem)
    sys.exit(max((study.exit_status for study in built if claims or study.problems), default=0))


@click.command()
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
    bound = dict(named_value(each) for each in parameters)
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


@click.command()
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


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--all", "all_", is_flag=True, help="Everything (the default without an ID).")
@click.option("--deep", is_flag=True, help="Compute ids and values again from what is stored.")
@click.option(
    "--against",
    "head",
    metavar="HEAD",
    help="Also hold the seals to a head taken earlier: its digest, or a file of its statement.",
)
@click.option("--key", type=FILE, help="Public keys, one of which must have signed that file.")
@as_json
@click.pass_obj
def verify(
    places: Places,
    id_: str | None,
    all_: bool,
    deep: bool,
    head: str | None,
    key: Path | None,
    json_: bool,
) -> None:
    """Re-read records, seals and artifacts; name the first broken link."""
    from attrs import asdict

    from repro.ledger import examine, machine

    if id_ and all_:
        raise click.UsageError("give an ID or --all, not both")
    if key and not head:
        raise click.UsageError("--key belongs to --against FILE")
    recomputed = None
    with terminal.working("verify"):
        verified = examine(
            places.ledger, id_, head=head, key=key, num_processes=machine.num_cores()
        )
        if deep:
            from repro.report.deep import recompute

            recomputed = recompute(places.ledger, verified.executions)
    findings = (*verified.findings, *(recomputed.findings if recomputed else ()))
    if json_:
        told = {"verified": asdict(verified), "recomputed": recomputed and asdict(recomputed)}
        terminal.print_json(told)
    else:
        for finding in findings:
            terminal.print_line(str(finding))
    terminal.say_verified(verified, recomputed)
    terminal.say("verified" if not findings else f"{len(findings)} broken")
    sys.exit(1 if findings else 0)
