"""`rackmeter usage`: what was metered."""

from typing import Annotated

import typer

from rackmeter.cli import usage_export, usage_meter, usage_topic, usage_unassigned
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, note, table

_SQL = """
    SELECT date_trunc(%(by)s, window_start) AS at, meter, resource, sum(quantity)::bigint
    FROM usage
    WHERE server_id = %(server)s AND window_start >= %(since)s AND window_start < %(until)s
      AND (%(meter)s::text IS NULL OR meter = %(meter)s)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_STEPS = {"window": "minute", "hour": "hour", "day": "day", "month": "month"}


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    usage = typer.Typer(
        help="Metered usage: show, unassigned, export, capture, meter, replay.",
        no_args_is_help=True,
    )
    usage.command(
        "show",
        epilog=example(
            "usage show ax-017 --from 2026-10-01 --to 2026-11-01",
            "usage show ax-017 --meter net.tx_bytes --by hour --json",
        ),
    )(show)
    usage_export.add(usage)
    usage_meter.add(usage)
    usage_topic.add(usage)
    usage_unassigned.add(usage)
    app.add_typer(usage, name="usage")


def show(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Id of the server.")],
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="First instant; a day is its midnight UTC."),
    ] = "1970-01-01",
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="First instant after.")
    ] = "now",
    by: Annotated[str, typer.Option(metavar="|".join(_STEPS), help="One row for each.")] = "day",
    meter: Annotated[
        str | None, typer.Option(metavar="METER", help="Only this one, such as net.tx_bytes.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what a server used, in base units, by UTC hours or days; the open window included."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.errors import ConfigError  # noqa: PLC0415
    from schemas.meters import METERS  # noqa: PLC0415

    if by not in _STEPS:
        raise ConfigError(f"--by is {by}; it must be one of {', '.join(_STEPS)}.")
    arguments = {
        "server": server,
        "since": instant(since),
        "until": instant(until),
        "by": _STEPS[by],
        "meter": meter,
    }
    with ledger(data_dir) as conn:
        rows = conn.execute(_SQL, arguments).fetchall()
    units = {name: known.unit for name, known in METERS.items()}
    if json:
        names = ("from", "meter", "resource", "quantity", "unit")
        found = [dict(zip(names, (*row, units.get(row[1], "")), strict=True)) for row in rows]
        document({"server": server, "usage": found})
        return
    table(
        ("from (UTC)", "meter", "resource", "quantity", "unit"),
        [(f"{at:%Y-%m-%d %H:%M}", m, r, q, units.get(m, "")) for at, m, r, q in rows],
    )
    if not rows:
        note(f"nothing was metered for {server} in that time")
