"""`rackmeter catalog`: price lists."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from pipeline.catalog import Catalog

File = Annotated[Path, typer.Argument(metavar="FILE", help="A catalogue as TOML.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    catalog = typer.Typer(help="Price lists: check, apply, show.", no_args_is_help=True)
    catalog.command("check", epilog=example("catalog check prices/2026-03.toml"))(check)
    catalog.command(
        "apply",
        epilog=example(
            "catalog apply prices/2026-03.toml --dry-run",
            "catalog apply prices/2026-03.toml --yes",
        ),
    )(apply)
    catalog.command("show", epilog=example("catalog show", "catalog show 2026-03"))(show)
    app.add_typer(catalog, name="catalog")


def check(file: File, json: Json = False) -> None:
    """Read a catalogue and name every mistake by file and line, with what to write instead."""
    _, catalog = read(file)
    if json:
        document({"file": str(file), "version": catalog.version, "plans": sorted(catalog.plans)})
    else:
        lines([f"{file} is sound: version {catalog.version}, plans {', '.join(catalog.plans)}"])


def apply(
    file: File,
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Publish a version, and change the prices of existing items as its `existing` says."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.catalogs import apply as publish  # noqa: PLC0415

    text, catalog = read(file)
    confirm(f"Publish {catalog.version} for good?", yes=yes or dry_run)
    with ledger(data_dir) as conn, conn.transaction(force_rollback=dry_run):
        applied = publish(conn, catalog, text, datetime.now(UTC))
    if json:
        document(
            {
                "version": catalog.version,
                "published": applied.published,
                "items": applied.items,
                "dry_run": dry_run,
            }
        )
        return
    would = "would be " if dry_run else ""
    if applied.published:
        lines([f"{catalog.version}: {would}published, {len(applied.items)} items {would}repriced"])
        lines(f"  {item}" for item in applied.items)
    else:
        lines([f"{catalog.version} is published already, and the same"])


def show(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="The file of one version.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List the published versions, or print one as it was applied."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.catalogs import published_text  # noqa: PLC0415

    with ledger(data_dir) as conn:
        if version is not None:
            text = published_text(conn, version)
            if text is None:
                raise RefusedError(
                    f"There is no catalogue {version}: see `rackmeter catalog show`."
                )
            if json:
                document({"version": version, "text": text})
            else:
                lines(text.splitlines())
            return
        rows = conn.execute(
            "SELECT version, effective, applied_at, digest FROM catalog_version ORDER BY applied_at"
        ).fetchall()
    if json:
        names = ("version", "effective", "applied_at", "sha256")
        document({"catalogs": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("version", "effective (UTC)", "applied (UTC)"),
        [(row[0], f"{row[1]:%Y-%m-%d %H:%M}", f"{row[2]:%Y-%m-%d %H:%M}") for row in rows],
    )
    if not rows:
        note("no catalogue is published yet")


def read(file: Path) -> "tuple[str, Catalog]":
    """The text of a file and what it says."""
    from pipeline.catalog import load  # noqa: PLC0415 - starts slowly

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"The catalogue {file} cannot be read: {reason}.") from error
    return text, load(text, str(file))
