"""`rackmeter catalog`: price lists and contracts, published and compared."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli import catalog_price
from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import RefusedError

File = Annotated[Path, typer.Argument(metavar="FILE", help="A catalogue or a contract as TOML.")]
Base = Annotated[
    Path | None,
    typer.Option("--base", metavar="FILE", help="Of a contract; found beside it if not given."),
]
Which = Annotated[str, typer.Argument(metavar="VERSION|FILE")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    catalog = typer.Typer(
        help="Price lists and contracts: check, compare, publish, quote.", no_args_is_help=True
    )
    catalog.command("check", epilog=example("catalog check prices/2026-03.toml"))(check)
    catalog.command(
        "apply",
        epilog=example(
            "catalog apply prices/2026-03.toml --dry-run",
            "catalog apply prices/2026-03.toml --yes",
        ),
    )(apply)
    catalog.command("show", epilog=example("catalog show", "catalog show 2026-03"))(show)
    catalog.command(
        "diff",
        epilog=example(
            "catalog diff prices/2026-03.toml prices/2026-05.toml",
            "catalog diff 2026-03 prices/2026-05.toml --effect",
        ),
    )(diff)
    catalog_price.add(catalog)
    app.add_typer(catalog, name="catalog")


def check(file: File, base: Base = None, json: Json = False) -> None:
    """Read a catalogue or contract and name every mistake by file and line, with its mend."""
    from rackmeter.cli.prices import offer  # noqa: PLC0415 - starts slowly

    found = offer(file, base).catalog
    if json:
        document({"file": str(file), "version": found.version, "plans": sorted(found.plans)})
    else:
        lines([f"{file} is sound: version {found.version}, plans {', '.join(found.plans)}"])


def apply(
    file: File,
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Publish a version for good, and change prices of existing items as its `existing` says.

    A contract changes those of its scope. With --dry-run: which items and customers it would touch,
    and what their last whole month would have cost.
    """
    from pipeline.contract import is_contract  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.acts import myself  # noqa: PLC0415
    from rackmeter.cli.catalog_words import (  # noqa: PLC0415
        applied_document,
        applied_lines,
        effect_table,
    )
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.cli.prices import offer, text_of  # noqa: PLC0415
    from sinks.catalog_effect import effects  # noqa: PLC0415
    from sinks.catalogs import apply as publish  # noqa: PLC0415
    from sinks.catalogs import apply_contract  # noqa: PLC0415
    from sinks.changes import Order  # noqa: PLC0415
    from sinks.versions import read_contract  # noqa: PLC0415

    text = text_of(file)
    found = None if is_contract(text) else offer(file).catalog
    now, order = datetime.now(UTC), Order(myself())
    confirm(f"Publish {file} for good?", yes=yes or dry_run)
    with ledger(data_dir) as conn, conn.transaction(force_rollback=dry_run):
        if found is not None:
            version, applied = found.version, publish(conn, found, text, now, order)
        else:
            agreed = read_contract(conn, text, str(file))
            version = agreed.catalog.version
            applied = apply_contract(conn, agreed, text, now, order)
        meant = effects(conn, applied.touched, now) if dry_run else []
    if json:
        document(applied_document(version, applied, meant, dry_run=dry_run))
    elif applied.published:
        lines(applied_lines(version, applied, dry_run=dry_run))
        effect_table(meant)
    else:
        lines([f"{version} is published already, and the same"])


def diff(
    old: Which,
    new: Which,
    effect: Annotated[
        bool, typer.Option("--effect", help="Also items, customers and the last whole month.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Tell in words what differs between two versions; files need no database."""
    from pipeline.catalog_diff import differences  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.catalog_words import (  # noqa: PLC0415
        change_lines,
        effect_document,
        effect_table,
    )
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.cli.prices import catalogue, offer  # noqa: PLC0415
    from sinks.catalog_effect import between, effects  # noqa: PLC0415

    if effect or not (Path(old).is_file() and Path(new).is_file()):
        with ledger(data_dir) as conn:
            one, other = catalogue(conn, old), catalogue(conn, new)
            touched = between(conn, one, other) if effect else []
            meant = effects(conn, touched, datetime.now(UTC))
    else:
        one, other, meant = offer(Path(old)).catalog, offer(Path(new)).catalog, []
    changes = differences(one, other)
    if json:
        places = [asdict(change) for change in changes]
        document({"old": one.version, "new": other.version, "changes": places,
                  "effect": effect_document(meant)})  # fmt: skip
        return
    lines(
        change_lines(changes) if changes else [f"{one.version} and {other.version} cost the same"]
    )
    effect_table(meant)
    if effect and not meant:
        note("no item of today would cost anything else")


def show(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="The file of one version.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List the published versions, or print one as it was applied."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.versions import published_text  # noqa: PLC0415

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
            """
            SELECT v.version, effective, applied_at, digest, c.scope_id
            FROM catalog_version v LEFT JOIN contract c USING (version) ORDER BY applied_at
            """
        ).fetchall()
    if json:
        names = ("version", "effective", "applied_at", "sha256", "scope")
        document({"catalogs": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("version", "effective (UTC)", "applied (UTC)", "contract of"),
        [(r[0], f"{r[1]:%Y-%m-%d %H:%M}", f"{r[2]:%Y-%m-%d %H:%M}", r[4] or "") for r in rows],
    )
    if not rows:
        note("no catalogue is published yet")
