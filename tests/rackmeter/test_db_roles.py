"""`rackmeter db roles` and `db login`, and a worker that has no more than a writer's rights."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from rackmeter.cli import main as cli
from rackmeter.stack import Stack
from schemas.errors import ConfigError, DifferenceError, RefusedError
from sinks.database import Connection, connect, migrate
from sinks.roles import ROLES
from tests.fix_stack import MakeDatabase
from tests.fix_worker import Fleet, Scene, assert_exact, metered, read_letters, wait_for, worker
from tests.sinks.roles import login_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    migrate(billing_url)
    with connect(billing_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def run(
    billing_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Exit code, stdout and stderr of a command on a ledger of its own."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def name() -> str:
    """Logins belong to the whole server."""
    return f"l_{uuid4().hex[:8]}"


def test_roles_are_listed(conn: Connection, run: Run) -> None:
    code, out, _ = run("db", "roles")
    assert code == 0
    assert all(role in out for role in ROLES)
    assert "MISSING" not in out


@pytest.mark.usefixtures("conn")
def test_what_differs_is_named_with_exit_code_3(conn: Connection, run: Run) -> None:
    conn.execute("REVOKE INSERT ON usage_late FROM rackmeter_writer")
    code, out, err = run("db", "roles", "--json")
    assert code == DifferenceError.exit_code
    assert json.loads(out)["missing"] == [["rackmeter_writer", "usage_late", "INSERT"]]
    code, _, err = run("db", "roles")
    assert code == DifferenceError.exit_code
    assert "missing: INSERT on usage_late for rackmeter_writer" in err
    assert "rackmeter db migrate" in err


def test_the_script_for_an_administrator_needs_no_database(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKMETER_DATABASE_URL", "postgresql://nowhere@127.0.0.1:1/nothing")
    code, out, _ = run("db", "roles", "--sql")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == list(ROLES)


def test_a_login_reads_and_writes_nothing(
    conn: Connection, run: Run, billing_url: str, name: str
) -> None:
    code, out, _ = run("db", "login", name, "--role", "reader", "--json")
    made = json.loads(out)
    assert code == 0
    assert len(made["password"]) == 32
    stored = conn.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,))
    verifier = stored.fetchone()
    assert verifier is not None
    assert verifier[0].startswith("SCRAM-SHA-256$")
    with connect(make_conninfo(billing_url, user=name, password=made["password"])) as reader:
        assert reader.execute("SELECT count(*) FROM usage").fetchone() == (0,)
        assert reader.execute("SHOW statement_timeout").fetchone() != ("0",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("DELETE FROM item")


def test_a_password_from_stdin_is_not_shown(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        code, out, err = run("db", "login", name, "--role", "writer", "--stdin")
    assert code == 0
    assert "from a file" not in out + err


@pytest.mark.usefixtures("conn")
@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--role", "owner"), RefusedError, "There is no role owner; there are writer, reader"),
        (
            ("--role", "reader", "--account", "acme"),
            ConfigError,
            "--account is for --role customer",
        ),
        (("--role", "customer", "--account", "acme"), RefusedError, "There is no account acme."),
    ],
)
def test_what_is_no_login(
    run: Run, name: str, options: tuple[str, ...], code: type[RefusedError], sentence: str
) -> None:
    found, _, err = run("db", "login", name, *options)
    assert (found, sentence in err) == (code.exit_code, True)


def test_a_worker_with_a_writers_rights(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> None:
    """Start, claims, checkpoints, idle marks, rating, dead letters, a second worker."""
    url = make_database(billing_template)
    migrate(url)
    scene = Scene.new(stack.bootstrap, login_of(url, "writer"), tmp_path)
    with connect(url, autocommit=True) as conn:
        fleet = Fleet(replace(scene, url=url), conn)
        fleet.enrol("s1", "s2")
        with worker(scene) as first:
            fleet.report("s1", "s2", times=10)
            fleet.produce(value=b"junk", key=b"s1", headers=[])
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            first.kill()
        with worker(scene) as second:
            fleet.report("s1", "s2", times=10)
            wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
            assert len(read_letters(scene, 1)) == 1
            assert second.stop() == 0
            assert "permission denied" not in first.said() + second.said()
        assert_exact(conn, fleet)
