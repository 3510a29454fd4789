"""What all commands on items have in common: when, who, why, once, and what they say after it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, DryRun, Json, identifier, instant, server_id
from rackmeter.cli.output import document, lines, local_time, local_times, note
from schemas.errors import RefusedError

if TYPE_CHECKING:
    from sinks.changes import Answer, Order
    from sinks.database import Connection

Id = Annotated[str, typer.Argument(metavar="ITEM", help="Id of the rented slot.")]
At = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="TIME",
        help="When it is true, past or future; else now. A day or a time without offset is the"
        " customer's.",
    ),
]
AtWindow = Annotated[
    bool,
    typer.Option("--at-window", help="At the end of its five-minute window: no window is shared."),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept with the change.")]
Request = Annotated[
    str | None,
    typer.Option(
        "--request-id", metavar="ID", help="Repeated with this id it gives the same answer."
    ),
]
Catalogue = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="VERSION|FILE",
        help="Prices; else the scope's contract, or the newest catalogue that is in force then.",
    ),
]
Account = Annotated[str, typer.Option(metavar="ACCOUNT", help="Who rents it.")]
Scope = Annotated[
    str | None, typer.Option(metavar="SCOPE", help="Pool it is priced in; its own by default.")
]


@dataclass(frozen=True, slots=True)
class Said:
    """The options of a command."""

    at: str
    at_window: bool
    why: str
    request: str | None
    dry_run: bool
    data_dir: Path | None
    json: bool


def _said(
    at: At = "now",
    at_window: AtWindow = False,
    why: Why = "",
    request_id: Request = None,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> Said:
    return Said(at, at_window, why, request_id, dry_run, data_dir, json)


def ordered(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options in place of its argument ``said``, after its own."""
    shared = signature(_said).parameters
    own = signature(command)

    @wraps(command)
    def run(**given: Any) -> None:
        command(said=_said(**{name: given.pop(name) for name in shared}), **given)

    parameters = [one for name, one in own.parameters.items() if name != "said"]
    parameters += [one.replace(kind=Parameter.KEYWORD_ONLY) for one in shared.values()]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


@dataclass(frozen=True, slots=True)
class Given:
    """What a command of sinks.timelines wants of them."""

    at: datetime
    entered_at: datetime
    order: "Order"
    timezone: str


def give(
    said: Said,
    verb: str,
    shown: dict[str, Any],
    zone: Callable[["Connection"], str],
    command: Callable[["Connection", Given], "Answer"],
) -> None:
    """Give a command and say what it did; a dry run takes it back.

    ``shown`` begins with the item; ``verb`` is a participle: "web-1 rented at ...". ``zone`` is
    what days are read by, and what is told.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.changes import Order  # noqa: PLC0415

    order = Order(myself(), said.why, said.request, said.at == "now")
    with ledger(said.data_dir) as conn, conn.transaction(force_rollback=said.dry_run):
        timezone = zone(conn)
        at = _moment(said.at, timezone, at_window=said.at_window)
        try:
            answer = command(conn, Given(at, datetime.now(UTC), order, timezone))
        except RefusedError as refused:
            raise RefusedError(local_times(str(refused), timezone)) from refused
    if said.json:
        late = [{"scope": scope, "period_start": start} for scope, start in answer.late]
        document(
            {
                **shown, "at": answer.at, "changed": answer.changed, "repeated": answer.repeated,
                "dry_run": said.dry_run, "scopes": answer.scopes, "late": late,
            }
        )  # fmt: skip
        return
    would = "would be " if said.dry_run and answer.changed else ""
    word = f"{would}{verb}" if answer.changed else f"was {verb} so already"
    when = f"{local_time(answer.at, timezone)} ({timezone})"
    lines([f"{next(iter(shown.values()))} {word} at {when}"])
    if answer.repeated:
        note(f"request {said.request} was given before; nothing is done twice")
    for scope, start in answer.late:
        month = local_time(start, timezone)
        note(f"scope {scope} is invoiced for the period from {month}: this is for an adjustment")


def new_ids(item: str, scope: str | None, server: str | None = None) -> None:
    """Refuses ids that nothing could be called by."""
    identifier("item", item)
    if scope is not None:
        identifier("scope", scope, "traffic-eu")
    if server is not None:
        server_id(server)


def note_unknown(conn: "Connection", server: str) -> None:
    """A server may be rented before it reports; one that was mistyped never will."""
    row = conn.execute(
        """
        SELECT EXISTS (SELECT FROM agent_key WHERE server_id = %(server)s)
            OR EXISTS (SELECT FROM server_state WHERE server_id = %(server)s)
        """,
        {"server": server},
    ).fetchone()
    if row is None or not row[0]:
        note(f"server {server} has no key and never reported: is it called so? `server list`")


def _moment(at: str, timezone: str, *, at_window: bool) -> datetime:
    from sinks.queries import EPOCH, WIDTH  # noqa: PLC0415 - starts slowly

    found = instant(at, timezone)
    return found + (EPOCH - found) % WIDTH if at_window else found
