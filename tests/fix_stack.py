"""Fixtures: the real embedded servers, one stack for each test process.

`stack` starts on first use and serves every test of its process (one per xdist worker). A test gets
a database of its own (`fresh_database`, or `make_database` for one copied from a template) and
topic names of its own (`topic_prefix`), so tests share servers but no state.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from rackmeter.stack import Stack
from rackmeter.stack_postgres import DATABASE

# Nothing here outlives the tests, so nothing waits for the disk.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

MakeDatabase = Callable[..., str]
_numbers = count()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and broker, ready."""
    folder: Path = tmp_path_factory.mktemp("stack")
    with Stack.start(folder, postgres_settings=NOT_DURABLE) as running:
        yield running


@pytest.fixture(scope="session")
def bootstrap(stack: Stack) -> str:
    """The broker's host:port."""
    return stack.bootstrap


@pytest.fixture(scope="session")
def make_database(stack: Stack) -> MakeDatabase:
    """make_database(template="template1") -> URL of a new database; it ends with the stack."""

    def make(template: str = "template1") -> str:
        name = f"test_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return database_url(stack, name)

    return make


@pytest.fixture
def fresh_database(make_database: MakeDatabase) -> str:
    """The URL of an empty database for this test alone."""
    return make_database()


@pytest.fixture
def topic_prefix() -> str:
    """Put before every topic name of a test: the broker is shared and forgets nothing."""
    return f"t{uuid4().hex[:12]}."


def database_url(stack: Stack, name: str) -> str:
    """The URL of another database of the same server."""
    return stack.database_url.replace(f"/{DATABASE}?", f"/{name}?", 1)
