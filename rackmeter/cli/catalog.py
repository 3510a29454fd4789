"""`rackmeter catalog`: price lists and contracts, published and compared."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli import catalog_price
from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import RefusedError

if TYPE_CHECKING:
    from rackmeter.cli.prices import Offer
    from sinks.catalog_effect import Agreed
    from sinks.database import Connection

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
    from sinks.catalog_effect import agreed_on, effects, without_plan  # noqa: PLC0415
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
            version, terms = found.version, None
            applied = publish(conn, found, text, now, order)
        else:
            contract = read_contract(conn, text, str(file))
            version, terms = contract.catalog.version, agreed_on(conn, contract)
            applied = apply_contract(conn, contract, text, now, order)
        meant = effects(conn, applied.touched, now, terms) if dry_run else []
        kept = without_plan(conn, found, now) if found and found.existing != "keep" else []
    if json:
        document(applied_document(version, applied, meant, kept, dry_run=dry_run))
    elif applied.published:
        lines(applied_lines(version, applied, kept, dry_run=dry_run))
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
        touched_lines,
    )
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.cli.prices import offer  # noqa: PLC0415
    from sinks.catalog_effect import between, effects  # noqa: PLC0415

    touched, meant, now = [], [], datetime.now(UTC)
    if effect or not (Path(old).is_file() and Path(new).is_file()):
        with ledger(data_dir) as conn:
            had, has = _offered(conn, old), _offered(conn, new)
            if effect:
                touched = between(conn, had.catalog, has.catalog, now)
                meant = effects(conn, touched, now, _agreed(had, has))
    else:
        had, has = offer(Path(old)), offer(Path(new))
    one, other = had.catalog, has.catalog
    changes = differences(
        one, other, (had.discounts, had.commitments), (has.discounts, has.commitments)
    )
    if json:
        places = [asdict(change) for change in changes]
        document({"old": one.version, "new": other.version, "changes": places,
                  "effect": effect_document(meant)})  # fmt: skip
        return
    lines(
        change_lines(changes) if changes else [f"{one.version} and {other.version} cost the same"]
    )
    lines(touched_lines(touched))
    effect_table(meant)
    if effect and not meant:
        note("no item of today would cost anything else")


def _agreed(had: "Offer", has: "Offer") -> "Agreed | None":
    """What differs in the terms of the scope that either is a contract of."""
    from sinks.catalog_effect import Agreed, in_force  # noqa: PLC0415

    scope = has.catalog.scope or had.catalog.scope
    before, after = (
        in_force((one.discounts, one.commitments), one.catalog.effective) for one in (had, has)
    )
    return Agreed(scope, before, after) if scope else None


def _offered(conn: "Connection", named: str) -> "Offer":
    """A file, or a published version with its terms."""
    from pipeline.contract import is_contract  # noqa: PLC0415
    from rackmeter.cli.prices import Offer, catalogue, offer  # noqa: PLC0415
    from sinks.versions import published_text, read_contract  # noqa: PLC0415

    if Path(named).is_file():
        return offer(Path(named))
    text = published_text(conn, named)
    if text is None or not is_contract(text):
        return Offer(catalogue(conn, named))
    contract = read_contract(conn, text, named)
    return Offer(contract.catalog, contract.discounts, contract.commitments)


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
