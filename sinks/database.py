"""Connections to PostgreSQL and the revision of its tables. Knows no table but alembic's own.

Everything that can be wrong before the first query ends in one sentence (schemas.errors). Failures
inside a transaction stay psycopg's: who runs it knows whether to repeat it.
"""

from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from schemas.errors import ConfigError, DependencyError, RackmeterError, RefusedError
from sinks.migrations import FOLDER, revisions
from sinks.roles import apply_roles

Connection = psycopg.Connection[TupleRow]

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_MS = 60_000
"""Nothing a worker or the rater runs may take longer; longer readers pass their own."""
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
MIGRATION_WAIT_MS = 120_000
"""How long a second `migrate` waits for the first."""
MIGRATION_LOCK_TIMEOUT_MS = 10_000
"""A migration that waits for a table makes everyone behind it wait; rather give up and say so."""
HEAD = "head"
"""Alembic's word for the newest revision."""
MIGRATION_LOCK_KEY = 0x7261_636B_6D65_7465  # "rackmete": the advisory lock of all migrations
_TCP = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class NewerSchemaError(ConfigError):
    """The tables are those of a later version: whoever meets this changes nothing and stops."""


def connect(
    url: str,
    *,
    autocommit: bool = False,
    application_name: str = "rackmeter",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
) -> Connection:
    """A connection in UTC that cannot hang for ever. Settings in `url` win over the defaults."""
    try:
        wanted = {key: value for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:  # its text may show the password
        raise ConfigError(
            "The database address is not postgresql://user:password@host:port/database."
        ) from None
    defaults: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, **_TCP}
    session = (
        f"-c timezone=UTC -c statement_timeout={statement_timeout_ms}"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
    )
    options = f"{session} {wanted.get('options', '')}".strip()
    arguments = {
        "application_name": application_name,
        **defaults,
        **wanted,
        "options": options,
    }
    try:
        return psycopg.connect("", autocommit=autocommit, **arguments)
    except psycopg.OperationalError as error:
        raise _unreachable(wanted, error) from error


def _unreachable(wanted: dict[str, Any], error: psycopg.OperationalError) -> RackmeterError:
    """One sentence without the password: which server, which database, what it said."""
    host = wanted.get("host") or wanted.get("hostaddr") or "the local socket"
    where = f"{host}:{wanted['port']}" if "port" in wanted else str(host)
    name = wanted.get("dbname") or wanted.get("user") or "the default database"
    said = str(error).strip().partition("\n")[0].rpartition(" failed: ")[2]
    if "does not exist" in said and "database" in said:
        return DependencyError(f"PostgreSQL at {where} has no database {name}; create it first.")
    if "authentication failed" in said or "no password supplied" in said:
        user = wanted.get("user", "the default user")
        return ConfigError(f"PostgreSQL at {where} refuses the password of {user}.")
    return DependencyError(f"PostgreSQL at {where} (database {name}) does not answer: {said}")


def schema_revision(conn: Connection) -> str | None:
    """The newest revision that has run, or None in a database without our tables."""
    found = conn.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return None
    row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def require_schema(conn: Connection) -> None:
    """Raises unless the tables are those of this version."""
    stored, known = schema_revision(conn), revisions()
    if stored == known[-1]:
        return
    if stored is None or stored in known:
        raise DependencyError(
            f"The database is at revision {stored or 'none'} and this version needs {known[-1]}:"
            " run `rackmeter db migrate`."
        )
    raise NewerSchemaError(
        f"The database is at revision {stored}, newer than this version's {known[-1]}:"
        " install the rackmeter that migrated it."
    )


def hold_schema(conn: Connection) -> None:
    """As require_schema, until the transaction ends: comes first in it, before any table is locked.

    A migration waits for it, and it waits for a migration, so that nothing is ever written half
    into the tables of one version and half into those of another.
    """
    conn.execute("SELECT pg_advisory_xact_lock_shared(%s)", (MIGRATION_LOCK_KEY,))
    row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    if row != (revisions()[-1],):
        require_schema(conn)


def migrate(url: str, *, second: bool = False, to: str = HEAD) -> list[str]:
    """Brings the tables to the newest revision; returns what was applied, oldest first.

    ``second``: of a ledger beside the first, which nobody but the owner looks at; ``to``: not
    further than this revision, and no roles.

    1. Wait for the advisory lock, so that of two callers one finds nothing left to do. A crash
       while holding it ends the session, which releases it.
    2. Run each missing revision in a transaction of its own, its record included. A crash leaves
       the revisions before it, whole; the next call goes on from there.
    3. Make the roles and give them what they may (sinks.roles). A crash: the next call does it.
    """
    conn = connect(url, autocommit=True, application_name="rackmeter migrate")
    with conn:
        conn.execute("SET statement_timeout = 0")
        _set_lock_timeout(conn, MIGRATION_WAIT_MS)
        try:
            conn.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK_KEY,))
        except errors.LockNotAvailable:
            raise RefusedError("Another migration of this database is still running.") from None
        stored = schema_revision(conn)
        if stored is not None and stored not in revisions():
            require_schema(conn)
        _set_lock_timeout(conn, MIGRATION_LOCK_TIMEOUT_MS)
        conn.autocommit = False
        try:
            return _upgrade(conn, second=second, to=to)
        except errors.LockNotAvailable:
            raise RefusedError(
                "A table to be migrated is in use: stop the workers, then migrate again."
            ) from None
        except psycopg.OperationalError as error:
            raise DependencyError(
                f"The database went away while migrating: {str(error).strip()}. Nothing is half"
                " done; migrate again."
            ) from error


def _set_lock_timeout(conn: Connection, timeout_ms: int) -> None:
    conn.execute("SELECT set_config('lock_timeout', %s, false)", (str(timeout_ms),))


def _upgrade(conn: Connection, *, second: bool, to: str) -> list[str]:
    """Alembic over a connection that is already open; imported here, it costs 0.3 s."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    applied: list[str] = []

    def record(*, step: Any, **_rest: Any) -> None:
        applied.append(step.up_revision_id)

    config = Config(attributes={"on_version_apply": record, "second": second})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: conn, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            if not second and to == HEAD:
                apply_roles(conn)
                conn.commit()
    except DBAPIError as error:
        raise (error.orig or error) from None
    finally:
        engine.dispose()
    return applied
