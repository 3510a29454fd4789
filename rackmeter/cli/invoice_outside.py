"""`rackmeter invoice outside` and `reenter`: invoices that a restore of the database lost."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table

if TYPE_CHECKING:
    from invoicing.outside import Outside


def add(invoice: typer.Typer) -> None:
    """Put the verbs below the noun."""
    invoice.command("outside", epilog=example("invoice outside", "invoice outside --json"))(
        list_outside
    )
    invoice.command(
        "reenter", epilog=example("invoice reenter RM-DE-2026-000006.pdf invoices/*.json")
    )(reenter)


def list_outside(data_dir: DataDir = None, json: Json = False) -> None:
    """List numbers that were given out and that this database lost when it was restored.

    Nobody gets them again. `missing` is to be entered again from its file, and its scopes are not
    closed before; `kept` was perhaps never issued and goes to the same invoice; `entered` is done.
    """
    from invoicing.outside import outside  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = outside(conn)
    if json:
        document({"numbers": [{**asdict(one.entry), "state": state(one)} for one in found]})
        return
    table(
        ("number", "state", "account", "period (UTC)", "scopes"),
        [
            (
                one.entry.number, state(one), one.entry.account,
                f"{one.entry.period_start:%Y-%m-%d %H:%M}", " ".join(one.entry.scopes),
            )
            for one in found
        ],
    )  # fmt: skip
    if not found:
        note("the database has every number that was given out")


def reenter(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON or PDF.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Enter invoices again from their files: the same documents under the same numbers.

    Each is verified first, and must be the very document that the number log knows.
    """
    from invoicing.reenter import reenter as run  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import database  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415

    settings, entered = load_settings(data_dir=data_dir), []
    with database(settings) as url, connect(url, autocommit=True) as conn:
        require_schema(conn)
        for file in files:
            entered.append(run(conn, file, settings.numbers).number)
            note(f"{entered[-1]} is in the database again")
    if json:
        document({"entered": entered})
    else:
        lines(entered)


def state(one: "Outside") -> str:
    """In one word."""
    return "entered" if one.entered else "missing" if one.certain else "kept"
