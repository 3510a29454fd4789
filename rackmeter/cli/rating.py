"""`rackmeter rating`: what open periods come to, computed anew from the ledger."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from sinks.database import Connection


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    rating = typer.Typer(help="Open periods: rebuild from the ledger.", no_args_is_help=True)
    rating.command(
        "rebuild", epilog=example("rating rebuild web-1", "rating rebuild --all --json")
    )(rebuild)
    app.add_typer(rating, name="rating")


def rebuild(
    scope: Annotated[str | None, typer.Argument(metavar="[SCOPE]", help="One scope.")] = None,
    all_scopes: Annotated[bool, typer.Option("--all", help="Every scope.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Rate the open periods of a scope, or of all, from timelines and ledger.

    The rater does so by itself after every command and report; this is for whoever doubts it.
    Sealed periods are left alone, and nobody is told twice.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.accruals import rate_open  # noqa: PLC0415

    if (scope is None) != all_scopes:
        raise ConfigError("Name one scope, or write --all.")
    now = datetime.now(UTC)
    with ledger(data_dir) as conn:
        names = [scope] if scope is not None else _every(conn)
        conn.commit()
        rated = [(name, one) for name in names for one in rate_open(conn, name, now, now)]
    if json:
        document(
            {
                "rated": [
                    {
                        "scope": name, "period_start": one.inputs.period.start,
                        "as_of": one.as_of, "revision": one.revision,
                        "alerts": [alert.threshold for alert in one.entered],
                    }
                    for name, one in rated
                ]
            }
        )  # fmt: skip
        return
    lines([f"{len(rated)} open periods of {len(names)} scopes rated"])


def _every(conn: "Connection") -> list[str]:
    return [row[0] for row in conn.execute("SELECT scope_id FROM rating_scope ORDER BY 1")]
