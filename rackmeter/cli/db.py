"""`rackmeter db`: the tables, and who may use them."""

import typer

from rackmeter.cli import db_backup, db_roles, db_store
from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    db = typer.Typer(
        help="The database: migrate, maintain, convert, roles, logins, backup, restore.",
        no_args_is_help=True,
    )
    db.command("migrate", epilog=example("db migrate"))(migrate)
    db_roles.add(db)
    db_store.add(db)
    db_backup.add(db)
    app.add_typer(db, name="db")


def migrate(data_dir: DataDir = None, json: Json = False) -> None:
    """Bring the tables to the revision of this version. Repeating it changes nothing."""
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect  # noqa: PLC0415
    from sinks.database import migrate as run  # noqa: PLC0415
    from sinks.migrations import revisions  # noqa: PLC0415
    from sinks.roles import missing_roles  # noqa: PLC0415
    from sinks.store.backend import backend  # noqa: PLC0415

    with database(load_settings(data_dir=data_dir), create=True) as url:
        applied = run(url)
        with connect(url) as conn:
            absent = missing_roles(conn)
            found = backend(conn)
    if json:
        document(
            {
                "revision": revisions()[-1],
                "applied": applied,
                "missing_roles": absent,
                "backend": found.name,
                "found": found.sentence(),
            }
        )
    else:
        lines(f"applied {revision}" for revision in applied)
        lines([f"the database is at revision {revisions()[-1]}", found.sentence()])
    if absent:
        note(db_roles.missing_roles_text(absent))
