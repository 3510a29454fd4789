"""A connection to the ledger for one command: a set server, a running stack, or a folder's own.

Where no server is set, the data folder says which: the stack that runs on it (`rackmeter dev`), or,
when none does, its PostgreSQL, started for this command and stopped after it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rackmeter.cli.output import note
from rackmeter.errors import ConfigError
from rackmeter.settings import Settings, load_settings
from rackmeter.stack import Stack
from rackmeter.stack_folder import running
from sinks.database import Connection, connect, require_schema

QUERY_MS = 600_000
"""A person waits for the answer, and may ask for a month of everything."""


@contextmanager
def ledger(data_dir: Path | None = None) -> Iterator[Connection]:
    """A connection to tables of this version; a command that ends well is committed."""
    settings = load_settings(data_dir=data_dir)
    with database(settings) as url, connect(url, statement_timeout_ms=QUERY_MS) as conn:
        require_schema(conn)
        conn.commit()
        yield conn


@contextmanager
def database(settings: Settings, *, create: bool = False) -> Iterator[str]:
    """The address of the database in force; `create` makes a new one in an empty folder."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    stack = running(settings.data_dir)
    if stack is not None and stack.database_url is not None:
        yield stack.database_url
        return
    if not create and not (settings.data_dir / "postgres").is_dir():
        raise ConfigError(
            f"There is no ledger in {settings.data_dir}: run `rackmeter demo` or `rackmeter dev`, "
            "name a folder that has one with --data-dir, or set RACKMETER_DATABASE_URL."
        )
    note(f"starting the PostgreSQL of {settings.data_dir} for this command")
    with Stack.start(settings.data_dir, broker=False) as own:
        yield own.database_url
