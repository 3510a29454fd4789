"""`rackmeter db`: the tables."""

import typer

from rackmeter.cli import db_backup
from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    db = typer.Typer(help="The database: migrate, backup, verify, restore.", no_args_is_help=True)
    db.command("migrate", epilog=example("db migrate"))(migrate)
    db_backup.add(db)
    app.add_typer(db, name="db")


def migrate(data_dir: DataDir = None, json: Json = False) -> None:
    """Bring the tables to the revision of this version. Repeating it changes nothing."""
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import migrate as run  # noqa: PLC0415
    from sinks.migrations import revisions  # noqa: PLC0415

    with database(load_settings(data_dir=data_dir), create=True) as url:
        applied = run(url)
    if json:
        document({"revision": revisions()[-1], "applied": applied})
    else:
        lines(f"applied {revision}" for revision in applied)
        lines([f"the database is at revision {revisions()[-1]}"])
