"""`rackmeter server`: the machines that may report."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError

# As the wire allows it (schemas.validate), without what would need quoting in a shell or a file.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,255}")


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    server = typer.Typer(help="Servers and their keys: add, list.", no_args_is_help=True)
    server.command(
        "add",
        epilog=example(
            "server add ax-017 --key-file ax-017.key",
            "agent run --server ax-017 --key-file ax-017.key --bootstrap kafka:9092",
        ),
    )(add_server)
    server.command("list", epilog=example("server list --json"))(list_servers)
    app.add_typer(server, name="server")


def add_server(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Id that it reports under.")],
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the key there, mode 600, instead of showing it."),
    ] = None,
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="Registered from then on; now if not given."),
    ] = "now",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Register a server with a new key. The secret is shown once, here, and never again."""
    from rackmeter.cli.keys import new_key, register, write_key  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    if not _ID.fullmatch(server):
        raise ConfigError(
            f"{server!r} is no server id; write letters, digits and . _ : @ + -, such as ax-017."
        )
    key = new_key(server, int(instant(since).timestamp() * 1000))
    with ledger(data_dir) as conn:
        register(conn, [key])
        if key_file is not None:
            write_key(key, key_file)
    shown = {"server": server, "kid": key.kid}
    if key_file is None:
        shown["secret"] = key.secret.hex()
    else:
        shown["key_file"] = str(key_file.absolute())
    if json:
        document(shown)
        return
    lines(f'{name} = "{value}"' for name, value in shown.items())
    if key_file is None:
        note("keep this as the agent's key file, mode 600: the secret is not shown again")


def list_servers(data_dir: DataDir = None, json: Json = False) -> None:
    """List registered servers: keys, newest report, what they serve, and why one needs a look."""
    from rackmeter.cli.keys import registered  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = registered(conn)
    if json:
        document({"servers": found})
        return
    table(
        ("server", "kid", "last report (UTC)", "item", "flagged"),
        [(r.server, r.kid, _at(r.last_report_ms), r.item or "", r.flagged) for r in found],
    )
    if not found:
        note("no server is registered yet: `rackmeter server add ID`")


def _at(epoch_ms: int | None) -> str:
    if epoch_ms is None:
        return "never"
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
