"""Connections and migrations, on a real PostgreSQL."""

import threading

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from schemas.errors import ConfigError, DependencyError, RackmeterError, RefusedError
from sinks import database
from sinks.database import connect, migrate, require_schema, schema_revision
from sinks.migrations import FOLDER, revisions, script


def test_every_script_has_its_revision() -> None:
    twins = [file.stem.removeprefix("r") for file in sorted(FOLDER.glob("versions/r*.py"))]
    assert twins == revisions()
    assert script(revisions()[0]).startswith("--")


def test_migrating_twice_applies_once(fresh_database: str) -> None:
    assert migrate(fresh_database) == revisions()
    assert migrate(fresh_database) == []
    with connect(fresh_database) as conn:
        assert schema_revision(conn) == revisions()[-1]
        require_schema(conn)


def test_migrating_at_once_applies_once(fresh_database: str) -> None:
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrate(fresh_database))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [], revisions()]


def test_a_migration_that_cannot_begin_says_so(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MIGRATION_WAIT_MS", 50)
    with connect(fresh_database, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (database.MIGRATION_LOCK_KEY,))
        with pytest.raises(RefusedError, match="Another migration"):
            migrate(fresh_database)


def test_a_broken_script_leaves_nothing_of_itself(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FOLDER / "0002_billing.sql"
    read = type(whole).read_text

    def broken(self: type(whole), encoding: str) -> str:  # type: ignore[valid-type]
        text = read(self, encoding=encoding)
        return text + "SELECT 1/0;" if self == whole else text

    monkeypatch.setattr(type(whole), "read_text", broken)
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(fresh_database)
    monkeypatch.undo()
    with connect(fresh_database) as conn:
        assert schema_revision(conn) == "0001_ledger"
    assert migrate(fresh_database) == revisions()[1:]


def test_other_revisions_are_refused_with_what_to_do(fresh_database: str) -> None:
    with connect(fresh_database, autocommit=True) as conn:
        with pytest.raises(DependencyError, match="rackmeter db migrate"):
            require_schema(conn)
        migrate(fresh_database)
        conn.execute("UPDATE alembic_version SET version_num = '0001_ledger'")
        with pytest.raises(DependencyError, match="at revision 0001_ledger"):
            require_schema(conn)
        conn.execute("UPDATE alembic_version SET version_num = '9999_future'")
        with pytest.raises(ConfigError, match="newer"):
            require_schema(conn)
    with pytest.raises(ConfigError, match="newer"):
        migrate(fresh_database)


def test_a_connection_is_utc_and_bounded(fresh_database: str) -> None:
    with connect(fresh_database, application_name="rackmeter test") as conn:
        shown = [
            conn.execute(f"SHOW {name}").fetchone()
            for name in ("timezone", "statement_timeout", "application_name")
        ]
    assert shown == [("UTC",), ("1min",), ("rackmeter test",)]


@pytest.mark.parametrize(
    ("url", "kind", "sentence"),
    [
        (
            "postgresql://u:hidden@127.0.0.1:1/books",
            DependencyError,
            "PostgreSQL at 127.0.0.1:1 (database books) does not answer: Connection refused",
        ),
        (
            "postgresql://postgres:hidden@/books?host=/nowhere",
            DependencyError,
            "PostgreSQL at /nowhere (database books) does not answer: No such file or directory",
        ),
        (
            "postgresql://u:hidden@[books",
            ConfigError,
            "The database address is not postgresql://user:password@host:port/database.",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(url: str, kind: type[RackmeterError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        connect(url)
    assert str(caught.value) == sentence


def test_a_missing_database_is_named(fresh_database: str) -> None:
    url = make_conninfo(fresh_database, dbname="missing_1")
    with pytest.raises(DependencyError, match="has no database missing_"):
        connect(url)
