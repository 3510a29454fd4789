"""`rackmeter demo`: the whole path on real input, in a minute and a half."""

import re
from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.options import Json, Yes, example
from rackmeter.cli.output import document, note
from rackmeter.errors import ConfigError, DifferenceError, RefusedError

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    app.command(
        "demo",
        epilog=example("demo", "demo --servers 10 --days 3 --seed 7", "demo --json --no-keep"),
    )(demo)


def demo(
    *,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet.")] = 1,
    servers: Annotated[int, typer.Option(min=1, max=5000, help="Size of the fleet.")] = 50,
    days: Annotated[int, typer.Option(min=1, max=31, help="How long they are rented.")] = 31,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Month to bill; the last whole one.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, max=20, help="Times a worker is killed.")] = 1,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Where to work; a new folder by default."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the folder.")] = True,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Meter this machine live, then bill a fleet's month.

    A worker is killed halfway through the simulated fleet's reports. The command starts its own
    PostgreSQL and broker, and stops them. Every figure it ends with was measured; one that is not
    as it must be ends it with exit code 3.
    """
    import shutil  # noqa: PLC0415

    from rackmeter.cli.terminate import interruptible  # noqa: PLC0415 - starts slowly
    from rackmeter.demo.cast import Script  # noqa: PLC0415
    from rackmeter.demo.ending import show  # noqa: PLC0415
    from rackmeter.demo.play import play  # noqa: PLC0415
    from rackmeter.demo.screen import screen  # noqa: PLC0415

    chosen = _month(month)
    folder = _folder(data_dir, yes=yes)
    with interruptible():
        result = play(Script(seed, servers, days, kills, chosen, folder), screen())
    if json:
        document(result.document())
    else:
        show(result)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        note(f"removed {folder}")
    failures = list(result.failures())
    if failures and json:  # they are in the document
        raise typer.Exit(DifferenceError.exit_code)
    if failures:
        raise DifferenceError(" ".join(failures))


def _month(named: str | None) -> str:
    """The named month when it is over, or the last one that is."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from rackmeter.demo.cast import previous_month  # noqa: PLC0415 - starts slowly

    last = previous_month(datetime.now(UTC))
    if named is None:
        return last
    if not _MONTH.fullmatch(named):
        raise ConfigError(f"{named} is no month; write it as 2026-10.")
    if named > last:
        raise ConfigError(f"{named} is not over; the last month that is, is {last}.")
    return named


def _folder(named: Path | None, *, yes: bool) -> Path:
    """The folder to work in: a new one, or the named one when nothing in it can be lost."""
    from datetime import datetime  # noqa: PLC0415

    from rackmeter.settings import load_settings  # noqa: PLC0415 - starts slowly

    if named is None:
        now = datetime.now().astimezone()
        return load_settings().data_dir / f"demo-{now:%Y%m%d-%H%M%S}"
    folder = named.expanduser().absolute()
    if (folder / "postgres").exists():
        raise RefusedError(f"{folder} has a ledger already; name another folder.")
    if folder.is_dir() and any(folder.iterdir()) and not yes:
        raise RefusedError(f"{folder} is not empty; name another folder, or repeat with --yes.")
    return folder
