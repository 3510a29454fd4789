"""`rackmeter server enroll-token`: a token that a server exchanges once for its key."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, Json, duration_ms, example, server_id
from rackmeter.cli.output import document, lines, note

VALID_DAYS_MAX = 31


def add(server: typer.Typer) -> None:
    """Put the verb below the noun."""
    server.command(
        "enroll-token",
        epilog=example(
            "server enroll-token ax-017",
            "server enroll-token ax-017 --valid 2h --to ax-017.token",
            "server enroll-token ax-017 --renew   # it has a key, and was installed anew",
            "server enroll-token ax-017 --revoke",
        ),
    )(enroll_token)


def enroll_token(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Id that it will report under.")],
    valid: Annotated[
        str, typer.Option(metavar="TIME", help="How long it may be used: 30m, 24h, 7d.")
    ] = "24h",
    renew: Annotated[
        bool, typer.Option("--renew", help="Even though the server has a key: for its next one.")
    ] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Make none; end the one that is open.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there, mode 600, instead of showing it."),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make a token with which a server fetches its key: `rackmeter agent enroll`, or one POST.

    It is shown once and used once. A token made before that is still open ends. Who made it, when,
    and which address used it stays in the ledger.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import write_new  # noqa: PLC0415
    from sinks.enrolment import issue, revoke_open  # noqa: PLC0415

    server_id(server)
    now = datetime.now(UTC)
    if revoke:
        with ledger(data_dir) as conn:
            ended = revoke_open(conn, server, now)
        if json:
            document({"server": server, "revoked": ended})
        else:
            lines(["the token is revoked" if ended else f"{server} has no open token"])
        return
    lasting = timedelta(milliseconds=duration_ms("--valid", valid, days_max=VALID_DAYS_MAX))
    with ledger(data_dir) as conn, conn.transaction():
        token = issue(conn, server, by=myself(), now=now, valid=lasting, renew=renew)
        if to is not None:
            write_new(to, token + "\n")
    shown = {"token": token} if to is None else {"token_file": str(to.absolute())}
    if json:
        document({"server": server, **shown, "expires_at": now + lasting})
        return
    lines(shown.values())
    note(f"for {server}, once, until {now + lasting:%Y-%m-%d %H:%M} UTC")
