"""`rackmeter dlq`: reports that were refused, and why."""

from typing import Annotated, Any

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, note, table


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    dlq = typer.Typer(help="Refused reports: list.", no_args_is_help=True)
    dlq.callback()(lambda: None)
    dlq.command("list", epilog=example("dlq list", "dlq list --reason forged --limit 5 --json"))(
        list_letters
    )
    app.add_typer(dlq, name="dlq")


def list_letters(
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only these, for example malformed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 50,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show refused reports, newest first, with their position and one sentence each."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly

    with ledger(data_dir) as conn:
        counts = dict(
            conn.execute(
                "SELECT reason, count(*) FROM dead_letter GROUP BY 1 ORDER BY 1"
            ).fetchall()
        )
        rows = conn.execute(
            """
            SELECT reason, t.name, d.part, d."offset", to_timestamp(d.append_ms / 1000.0), d.detail
            FROM dead_letter d JOIN ingest_topic t USING (topic_id)
            WHERE %(reason)s::text IS NULL OR reason = %(reason)s
            ORDER BY d.append_ms DESC, d.part, d."offset" DESC LIMIT %(limit)s
            """,
            {"reason": reason, "limit": limit},
        ).fetchall()
    if json:
        names = ("reason", "topic", "partition", "offset", "appended_at", "detail")
        letters: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
        document({"counts": counts, "letters": letters})
        return
    table(
        ("reason", "position", "appended (UTC)", "detail"),
        [(r[0], f"{r[1]}/{r[2]}/{r[3]}", f"{r[4]:%Y-%m-%d %H:%M:%S}", r[5]) for r in rows],
    )
    note(", ".join(f"{count} {name}" for name, count in counts.items()) or "no report was refused")
