"""`rackmeter alert`: what was told to whom, what is parked, and sending it again."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.options import DataDir, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from sinks.alert_list import Row, Wanted

Account = Annotated[
    str | None, typer.Option(metavar="ACCOUNT", help="Only what this customer was told.")
]
Channel = Annotated[str | None, typer.Option(metavar="CHANNEL", help="webhook, mail or command.")]
State = Annotated[
    str | None, typer.Option(metavar="STATE", help="waiting, delivered, parked or replaced.")
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    alert = typer.Typer(help="Alerts: list, show, resend.", no_args_is_help=True)
    alert.command(
        "list",
        epilog=example(
            "alert list --state parked", "alert list --account acme --channel mail --json",
            "alert list --before 4711   # the page after the one that ended with 4711",
        ),
    )(list_alerts)  # fmt: skip
    alert.command("show", epilog=example("alert show msg_0f3a..."))(show)
    alert.command(
        "resend",
        epilog=example(
            "alert resend msg_0f3a...", "alert resend --account acme --state parked --yes"
        ),
    )(resend)
    app.add_typer(alert, name="alert")


def list_alerts(
    account: Account = None,
    channel: Channel = None,
    state: State = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="A page.")] = 50,
    before: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Older than this one.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show alerts, newest first: a line for each recipient."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.alert_list import newest  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = newest(conn, _wanted(account, channel, state), limit, before)
    more = found[-1].number if len(found) == limit else None
    if json:
        document({"alerts": [asdict(row) for row in found], "before": more})
        return
    table(
        ("number", "id", "account", "to", "kind", "threshold", "entered (UTC)", "state", "why"),
        [
            (r.number, r.alert, r.account, _to(r), r.kind, r.threshold, _at(r.entered_at),
             r.state, r.why)
            for r in found
        ],
    )  # fmt: skip
    note(f"more: --before {more}" if more else "" if found else "nobody was told anything")


def show(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="As `alert list` shows it.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show one alert whole: its body, its recipient, and what became of it."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.alert_list import Wanted, newest  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = newest(conn, Wanted(ids=(alert,)), 1)
    if not found:
        raise RefusedError(f"There is no alert {alert}: `rackmeter alert list` has them.")
    (row,) = found
    if json:
        document(asdict(row))
        return
    lines(
        f"{name:<11}{value}"
        for name, value in {
            "id": row.alert, "account": row.account, "to": _to(row), "kind": row.kind,
            "threshold": row.threshold, "read": _at(row.sampled_at),
            "entered": _at(row.entered_at), "state": row.state, "tries": row.attempts,
            "next try": "" if row.state != "waiting" else _at(row.next_try_at),
            "delivered": "" if row.delivered_at is None else _at(row.delivered_at),
            "why": row.why, "text": _text(row.body),
        }.items()
        if value != ""
    )  # fmt: skip


def resend(
    alerts: Annotated[
        list[str] | None, typer.Argument(metavar="ALERT...", help="As `alert list` shows them.")
    ] = None,
    account: Account = None,
    channel: Channel = None,
    state: State = None,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Send alerts again under the id they had; a worker does it within seconds.

    A receiver that keeps the ids it has seen drops what it had already. A command that others
    followed would undo them: in its place provisioning is told how its items stand now.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.alert_list import newest  # noqa: PLC0415
    from sinks.alert_list import resend as send  # noqa: PLC0415

    wanted = _wanted(account, channel, state, alerts or [])
    if not any((alerts, account, channel, state)):
        raise ConfigError("Which? Name an ALERT, or --account, --channel or --state.")
    with ledger(data_dir) as conn:
        found = newest(conn, wanted, 1_000_000)
        if missing := set(alerts or ()) - {row.alert for row in found}:
            raise RefusedError(f"There is no alert {min(missing)}: `rackmeter alert list`.")
        if not alerts and found:
            confirm(f"Send {len(found)} alerts again?", yes=yes)
        sent = send(conn, wanted, datetime.now(UTC))
    replaced = [row.alert for row in sent.replaced]
    if json:
        document({"alerts": [row.alert for row in sent.due], "replaced": replaced})
        return
    lines(f"{one} was followed by others: how its items stand now is told" for one in replaced)
    lines(f"{row.alert} to {_to(row)} is due now" for row in sent.due)


def _wanted(
    account: str | None, channel: str | None, state: str | None, ids: list[str] | None = None
) -> "Wanted":
    from sinks.alert_list import State, Wanted  # noqa: PLC0415 - starts slowly
    from sinks.outbox import Channel  # noqa: PLC0415

    for name, value, known in (("channel", channel, Channel), ("state", state, State)):
        if value is not None and value not in list(known):
            raise ConfigError(f"--{name} is {value}; it must be one of {', '.join(known)}.")
    return Wanted(account, channel, State(state) if state else None, ids or ())


def _to(row: "Row") -> str:
    return row.recipient or row.channel


def _at(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _text(body: dict[str, Any]) -> str:
    return str(body.get("data", {}).get("text", ""))
