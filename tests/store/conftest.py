"""`ledger`: an empty, migrated ledger on each kind of server that the store supports.

- embedded: plain PostgreSQL from the wheel;
- wasm: real TimescaleDB code in WebAssembly, from npm (tests/store/wasm): a schema `public` each
  test, which functions of migrations name;
- given: the server of RACKMETER_TEST_DATABASE_URL; its account must be allowed to make databases.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from sinks.database import Connection, connect, migrate
from sinks.migrations import script
from tests.fix_stack import GIVEN, MakeDatabase, make_given_database

WASM = Path(__file__).parent / "wasm"
_schemas = count()


@pytest.fixture(scope="session")
def wasm_server() -> Iterator[str]:
    """The address of a TimescaleDB in WebAssembly that takes one connection at a time."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node: TimescaleDB in WebAssembly needs Node.js 20 with npm")
    if not (WASM / "node_modules").is_dir():
        missing = "TimescaleDB in WebAssembly is not installed: run `make wasm`"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with subprocess.Popen(
        [node, "server.js"], cwd=WASM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
        server.stdin.close()


def _embedded(request: pytest.FixtureRequest) -> str:
    if GIVEN is not None:
        pytest.skip("RACKMETER_TEST_DATABASE_URL stands in for the embedded server")
    make: MakeDatabase = request.getfixturevalue("make_database")
    return make(request.getfixturevalue("billing_template"))


def _wasm(request: pytest.FixtureRequest) -> str:
    server: str = request.getfixturevalue("wasm_server")
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"ALTER SCHEMA public RENAME TO earlier_{next(_schemas)}".encode())
        conn.execute("CREATE SCHEMA public")
        # All connections are one session there, so what is set stays set.
        conn.execute("SET search_path = public, extensions")
    migrate(server, second=True)
    with psycopg.connect(server, autocommit=True) as conn:
        # A second ledger is not told what plans are called: whoever publishes and rates needs that.
        table, *_ = script("0020_titles").split(";")
        conn.execute(table.encode())
    return server


def _given(_request: pytest.FixtureRequest) -> str:
    if GIVEN is None:
        pytest.skip("RACKMETER_TEST_DATABASE_URL names no server")
    url = make_given_database(GIVEN)
    migrate(url)
    return url


@pytest.fixture(params=["embedded", "wasm", "given"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    return {"embedded": _embedded, "wasm": _wasm, "given": _given}[request.param](request)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Connection]:
    """An autocommit connection; on wasm there can be no other."""
    with connect(ledger_url, autocommit=True) as conn:
        conn.prepare_threshold = None  # names of prepared statements outlive a connection there
        conn.execute("SET timezone = 'UTC'")
        yield conn
