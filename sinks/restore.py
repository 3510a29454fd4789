"""Fills an empty database from a backup, and proves that it holds what was backed up.

1. Digest every file of the backup. A crash: nothing has happened, as in 2.
2. See that the database is empty, not older than the backup's server, and nobody else's.
3. Make the roles that policies name. A crash: they stay, without rights.
4. pg_restore, several tables at once. A crash: tables without a revision, which nobody uses; drop
   the database and begin again, as in 5.
5. Compare rows and digests of every table with the manifest.
6. Enter the revision: from here on it is a ledger. A crash: migrate, then `db recovered`.
7. Migrate to this version's revision, which gives the roles their rights. A crash: as 6.

What was issued after the backup is not known here: invoicing.outside.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from schemas.errors import ConfigError, DependencyError, DifferenceError, RefusedError
from sinks import backup_figures
from sinks.backup_manifest import DUMP, Manifest, Table, check_files, read_manifest
from sinks.backup_tools import Program, find_program, run_program
from sinks.database import Connection, connect, migrate
from sinks.migrations import revisions
from sinks.roles import missing_roles

TIMESCALE: Final = "timescaledb"
Progress = Callable[[str, int], None]


def restore(
    url: str,
    folder: Path,
    *,
    jobs: int = 2,
    programs: Sequence[Path] = (),
    progress: Progress = lambda _what, _bytes: None,
) -> Manifest:
    """All steps; the manifest of what is there now."""
    manifest = check(folder, progress)
    with _connected(url) as conn:
        check_target(conn, manifest)
        major = conn.info.server_version // 10_000
        tool = find_program("pg_restore", max(major, manifest.pg_dump), programs)
        _make_roles(conn)
        _fill(conn, url, folder, manifest, tool, jobs, progress)
        progress("compared", 0)
        compare(conn, manifest)
        conn.execute("INSERT INTO alembic_version VALUES (%s)", (manifest.revision,))
    migrate(url)
    return manifest


def check(folder: Path, progress: Progress = lambda _what, _bytes: None) -> Manifest:
    """The manifest of a backup whose files are all what they were."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress("digested", done)

    manifest = read_manifest(folder)
    check_files(folder, manifest, more)
    return manifest


def check_target(conn: Connection, manifest: Manifest) -> None:
    """Raises where the backup does not belong into this database."""
    if manifest.revision not in revisions():
        raise ConfigError(
            f"The backup is of revision {manifest.revision} (rackmeter {manifest.rackmeter}) and"
            f" this version's newest is {revisions()[-1]}: install that rackmeter."
        )
    major = conn.info.server_version // 10_000
    if major < manifest.server_major:
        raise ConfigError(
            f"The backup is of PostgreSQL {manifest.server} and this server is {major}: restore"
            f" into {manifest.server_major} or newer."
        )
    if (found := _first_relation(conn)) is not None:
        raise RefusedError(
            f"The database {conn.info.dbname} is not empty (it has {found}): restore into one that"
            " was just created; nothing is ever restored over a ledger."
        )
    if others := _others(conn):
        raise RefusedError(
            f"Others use the database {conn.info.dbname} ({', '.join(others)}): stop them first."
        )
    _check_extensions(conn, manifest)


def compare(conn: Connection, manifest: Manifest) -> None:
    """Raises DifferenceError that names every table that is not what was backed up."""
    there = backup_figures.figures(conn, backup_figures.tables(conn))
    before, after = _by_name(manifest.tables), _by_name(there)
    wrong = [name for name in sorted(before | after) if before.get(name) != after.get(name)]
    if wrong:
        said = ", ".join(f"{n} ({_rows(before.get(n))} → {_rows(after.get(n))})" for n in wrong)
        raise DifferenceError(
            f"The restored tables are not those that were backed up: {said}. The database is left"
            " without a revision: drop it."
        )


def _connected(url: str) -> Connection:
    return connect(
        url, autocommit=True, application_name="rackmeter restore", statement_timeout_ms=0
    )


def _fill(
    conn: Connection,
    url: str,
    folder: Path,
    manifest: Manifest,
    tool: Program,
    jobs: int,
    progress: Progress,
) -> None:
    """Steps 3 and 4. TimescaleDB wants its catalogue loaded by one job, with its jobs at rest."""
    hypertables = TIMESCALE in manifest.extensions
    if hypertables:
        version = sql.Literal(manifest.extensions[TIMESCALE])
        conn.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(version)
        )
        conn.execute("SELECT timescaledb_pre_restore()")

    def look() -> None:
        row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
        progress("restored", row[0] if row else 0)

    arguments = [
        "--format=directory", f"--jobs={1 if hypertables else jobs}", "--exit-on-error",
        "--no-owner", "--no-privileges", "--no-comments", str(folder / DUMP),
    ]  # fmt: skip
    run_program(tool, arguments, url, poll=look)
    if hypertables:
        conn.execute("SELECT timescaledb_post_restore()")
    conn.execute("ANALYZE")


def _make_roles(conn: Connection) -> None:
    for name in missing_roles(conn):
        try:
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            raise ConfigError(
                f"This server has no role {name} and {conn.info.user} may not make it: run what"
                " `rackmeter db roles --sql` prints as its administrator."
            ) from None


def _first_relation(conn: Connection) -> str | None:
    row = conn.execute(
        """
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname !~ '^(pg_|information_schema$|_timescaledb|timescaledb_)'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        ORDER BY relkind NOT IN ('r', 'p'), 1 LIMIT 1
        """
    ).fetchone()
    return None if row is None else str(row[0])


def _others(conn: Connection) -> list[str]:
    rows = conn.execute(
        "SELECT DISTINCT coalesce(nullif(application_name, ''), usename::text)"
        " FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def _check_extensions(conn: Connection, manifest: Manifest) -> None:
    """TimescaleDB must be there in the very version: its catalogue is part of the dump."""
    rows = conn.execute("SELECT name, version FROM pg_available_extension_versions").fetchall()
    for name, version in manifest.extensions.items():
        known = sorted(v for n, v in rows if n == name)
        if known and (name != TIMESCALE or version in known):
            continue
        has = f"has {', '.join(known)}" if known else "does not have it"
        raise DependencyError(
            f"The backup needs the extension {name} {version} and this server {has}: install it."
        )


def _by_name(tables: Sequence[Table]) -> dict[str, Table]:
    return {table.name: table for table in tables}


def _rows(table: Table | None) -> str:
    return "none" if table is None else f"{table.rows:,} rows"
