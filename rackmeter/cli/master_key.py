"""`rackmeter master-key`: what the secrets in the ledger are encrypted with."""

from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    group = typer.Typer(
        help="Master keys, which encrypt the secrets in the ledger.", no_args_is_help=True
    )
    group.command(
        "new",
        epilog=example("master-key new --to /etc/rackmeter/master.key", "master-key new"),
    )(new)
    group.command("list", epilog=example("master-key list --json"))(list_keys)
    group.command("rewrap", epilog=example("master-key rewrap"))(rewrap)
    app.add_typer(group, name="master-key")


def new(
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there, mode 600, instead of showing it."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a master key: 32 random bytes. Nothing else is changed."""
    from rackmeter.key_files import write_new  # noqa: PLC0415 - starts slowly
    from sinks.vault import fingerprint, new_master_key, parse_master_keys  # noqa: PLC0415

    key = new_master_key()
    name = fingerprint(parse_master_keys(key, "the new key")[0])
    if to is not None:
        write_new(to, key + "\n")
    if json:
        shown = {"master_key": key} if to is None else {"file": str(to.absolute())}
        document({"fingerprint": name, **shown})
        return
    lines([key if to is None else f"{to.absolute()}"])
    note(f"master key {name}: keep a copy apart from the database's backups")


def list_keys(data_dir: DataDir = None, json: Json = False) -> None:
    """List the master keys in force and how many secrets are under each."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.secrets import in_use  # noqa: PLC0415

    with ledger(data_dir) as conn:
        given = load_vault(load_settings(data_dir=data_dir)).fingerprints
        used = in_use(conn)
    place = dict.fromkeys(given, "decrypts") | {given[0]: "encrypts"}
    names = [*given, *(name for name in used if name not in given)]
    rows = [(name, place.get(name, "missing"), used.get(name, 0)) for name in names]
    if json:
        heads = ("fingerprint", "state", "secrets")
        document({"master_keys": [dict(zip(heads, row, strict=True)) for row in rows]})
    else:
        table(("master key", "state", "secrets"), rows)


def rewrap(data_dir: DataDir = None, json: Json = False) -> None:
    """Encrypt every secret anew with the first master key, so that the others can be retired.

    Decrypts each of them: when it ends well, all are good. Repeating it changes nothing.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.secrets import rewrap as run  # noqa: PLC0415

    with ledger(data_dir) as conn:
        vault = load_vault(load_settings(data_dir=data_dir))
        moved, total = run(conn, vault)
    if json:
        document({"fingerprint": vault.current, "moved": moved, "secrets": total})
    else:
        lines([f"{moved} moved; all {total} secrets are under master key {vault.current}"])
