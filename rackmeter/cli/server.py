"""`rackmeter server`: the machines that may report, and their keys."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rackmeter.cli import server_enroll
from rackmeter.cli.options import DataDir, Json, duration_ms, example, instant, server_id
from rackmeter.cli.output import document, lines, note, table

if TYPE_CHECKING:
    from schemas.envelope import Key

_OVERLAP_DAYS_MAX: Final = 366

Server = Annotated[str, typer.Argument(metavar="SERVER", help="Id that it reports under.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the key there, mode 600, instead of showing it."),
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    server = typer.Typer(help="Servers and their keys.", no_args_is_help=True)
    server.command(
        "add",
        epilog=example(
            "server add ax-017 --key-file ax-017.key",
            "agent run --server ax-017 --key-file ax-017.key --bootstrap kafka:9092",
        ),
    )(add_server)
    server.command(
        "rotate-key",
        epilog=example(
            "server rotate-key ax-017 --key-file ax-017.new.key",
            "server rotate-key ax-017 --overlap 0 --again   # the key is known to others",
        ),
    )(rotate_key)
    server.command("revoke-key", epilog=example("server revoke-key ax-017.1a2b3c4d"))(revoke_key)
    server_enroll.add(server)
    server.command("list", epilog=example("server list --json"))(list_servers)
    app.add_typer(server, name="server")


def add_server(
    server: Server,
    key_file: KeyFile = None,
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="Registered from then on; a day is UTC's."),
    ] = "now",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Register a server with its first key. The secret is shown once, here, and never again."""
    from rackmeter.cli.keys import new_key  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.keys import register  # noqa: PLC0415

    key = new_key(server_id(server), int(instant(since).timestamp() * 1000))
    with ledger(data_dir) as conn, conn.transaction():
        register(conn, load_vault(load_settings(data_dir=data_dir)), [key])
        shown = _handed_out(key, key_file)
    if json:
        document(shown)
    else:
        _show_key(shown)


def rotate_key(
    server: Server,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old keys still hold: 0, 30m, 24h, 7d.")
    ] = "24h",
    key_file: KeyFile = None,
    again: Annotated[
        bool, typer.Option("--again", help="Even though the newest key is younger than that.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Give a server a new key, valid from now; its old ones end after the overlap.

    Reports are judged by the time at which they were appended to their topic. An end that was set
    before stays as it is. Run twice by mistake, it refuses and changes nothing.
    """
    from rackmeter.cli.keys import new_key  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.keys import rotate  # noqa: PLC0415

    overlap_ms = duration_ms("--overlap", overlap, days_max=_OVERLAP_DAYS_MAX)
    with ledger(data_dir) as conn, conn.transaction():
        vault = load_vault(load_settings(data_dir=data_dir))
        key = new_key(server, _now_ms())
        ends = rotate(conn, vault, key, overlap_ms, again=again)
        shown = _handed_out(key, key_file)
    if json:
        document({**shown, "valid_from_ms": key.valid_from_ms, "ends_ms": ends})
        return
    _show_key(shown)
    for kid, end_ms in ends.items():
        note(f"{kid} ends at {_at(end_ms)} UTC: start the agent with the new key before")


def revoke_key(
    kid: Annotated[str, typer.Argument(metavar="KID", help="As `server list` shows it.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """End one key at once. Reports that it signed before stay valid."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.keys import revoke  # noqa: PLC0415

    with ledger(data_dir) as conn:
        server, end_ms, others = revoke(conn, kid, _now_ms())
    if json:
        document({"server": server, "kid": kid, "valid_to_ms": end_ms, "others_in_force": others})
    else:
        lines([f"{kid} ended at {_at(end_ms)} UTC"])
    if not others:
        note(f"{server} has no key in force: `rackmeter server rotate-key {server} --again`")


def list_servers(data_dir: DataDir = None, json: Json = False) -> None:
    """List registered servers: keys, newest report, what they serve, and why one needs a look."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.keys import registered  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = registered(conn, _now_ms())
    if json:
        document({"servers": found})
        return
    table(
        ("server", "kid", "key", "from (UTC)", "until", "last report", "item", "flagged"),
        [
            (
                r.server, r.kid, r.state, _at(r.valid_from_ms), _at(r.valid_to_ms, "no end"),
                _at(r.last_report_ms), r.item or "", r.flagged,
            )
            for r in found
        ],
    )  # fmt: skip
    if not found:
        note("no server is registered yet: `rackmeter server add ID`")


def _handed_out(key: "Key", key_file: Path | None) -> dict[str, str]:
    """What its owner is told of a new key; the secret goes to the file or into the answer."""
    from rackmeter.cli.keys import write_key  # noqa: PLC0415 - starts slowly

    shown = {"server": key.server, "kid": key.kid}
    if key_file is None:
        return {**shown, "secret": key.secret.hex()}
    write_key(key, key_file)
    return {**shown, "key_file": str(key_file.absolute())}


def _show_key(shown: dict[str, str]) -> None:
    lines(f'{name} = "{value}"' for name, value in shown.items())
    if "secret" in shown:
        note("keep this as the agent's key file, mode 600: the secret is not shown again")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _at(epoch_ms: int | None, absent: str = "never") -> str:
    if epoch_ms is None:
        return absent
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
