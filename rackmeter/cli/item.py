"""`rackmeter item`: what customers rent, from when to when."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli import item_change, item_show
from rackmeter.cli.item_beyond import note_before, note_minimum
from rackmeter.cli.item_order import (
    Account,
    Catalogue,
    Given,
    Id,
    Said,
    Scope,
    give,
    new_ids,
    note_unknown,
    ordered,
)
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, local_time, note, table

if TYPE_CHECKING:
    from sinks.changes import Answer
    from sinks.database import Connection


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    item = typer.Typer(
        help="What customers rent: rent, change, hand over, end, reopen, show, list.",
        no_args_is_help=True,
    )
    item.command(
        "rent",
        epilog=example(
            "item rent web-1 --account alpha --plan ax-hourly --server ax-017 "
            "--catalog prices/2026-03.toml"
        ),
    )(rent_item)
    item_change.add(item)
    item.command("end", epilog=example("item end web-1 --at 2026-10-31T12:00:00+01:00"))(end_item)
    item.command("reopen", epilog=example("item reopen web-1 --why 'the wrong server'"))(
        reopen_item
    )
    item_show.add(item)
    item.command("list", epilog=example("item list --account alpha"))(list_items)
    app.add_typer(item, name="item")


@ordered
def rent_item(
    item: Id,
    *,
    said: Said,
    account: Account,
    plan: Annotated[str, typer.Option(metavar="PLAN", help="A plan of the catalogue.")],
    server: Annotated[str, typer.Option(metavar="SERVER", help="Which hardware serves it.")],
    catalog: Catalogue = None,
    title: Annotated[
        str | None, typer.Option(help="As it is to stand on invoices; its plan's if not given.")
    ] = None,
    scope: Scope = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Its end, read as --at; open if not given.")
    ] = None,
) -> None:
    """Rent a slot to a customer, served by a server, at the prices of a catalogue."""
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.timelines import rent  # noqa: PLC0415

    new_ids(item, scope, server)

    def command(conn: "Connection", given: Given) -> "Answer":
        prices = catalogue(conn, catalog, scope or item, given.at)
        note_unknown(conn, server)
        note_before(conn, account, given)
        return rent(
            conn, item=item, title=title, plan=plan, account=account, server=server,
            at=given.at, until=None if until is None else instant(until, given.timezone),
            catalog=prices, entered_at=given.entered_at, scope=scope, order=given.order,
        )  # fmt: skip

    shown = {"item": item, "account": account, "plan": plan, "server": server}
    give(said, "rented", shown, lambda conn: of_account(conn, account), command)


@ordered
def end_item(
    item: Id,
    *,
    said: Said,
) -> None:
    """End a rental; its last invoice can be closed after that."""
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.timelines import end  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        answer = end(conn, item, given.at, given.entered_at, given.order)
        note_minimum(conn, item, given.timezone)
        return answer

    give(said, "ended", {"item": item}, lambda conn: of_item(conn, item), command)


@ordered
def reopen_item(
    item: Id,
    *,
    said: Said,
) -> None:
    """Take an end back: the rental goes on, with what was planned for it; --at is that end."""
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.timelines import reopen  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        at = None if given.order.now else given.at
        return reopen(conn, item, given.entered_at, at, given.order)

    give(said, "reopened", {"item": item}, lambda conn: of_item(conn, item), command)


def list_items(
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only its items.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List items with their plan of now, servers and time, by their customers' clocks."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly

    with ledger(data_dir) as conn:
        rows = conn.execute(
            """
            SELECT i.item_id, s.account_id, i.plan, i.title, lower(i.valid), upper(i.valid),
                   (SELECT string_agg(server_id, ', ' ORDER BY lower(valid))
                    FROM assignment WHERE item_id = i.item_id), a.timezone
            FROM item_now i JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id)
            WHERE %(account)s::text IS NULL OR s.account_id = %(account)s ORDER BY 2, 1
            """,
            {"account": account},
        ).fetchall()
    if json:
        names = ("item", "account", "plan", "title", "from", "to", "servers", "timezone")
        document({"items": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("item", "account", "plan", "from", "to", "server"),
        [(r[0], r[1], r[2], _time(r[4], r[7]), _time(r[5], r[7]), r[6] or "") for r in rows],
    )
    if not rows:
        note("nothing is rented yet: `rackmeter item rent`")


def _time(at: datetime | None, timezone: str) -> str:
    return "open" if at is None else local_time(at, timezone)
