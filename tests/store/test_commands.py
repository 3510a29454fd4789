"""`rackmeter db migrate` and `maintain`, as a timer runs them: real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sinks.database import connect
from tests.store.books import START, Books

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(ledger_url: str) -> Run:
    """Exit code, document and stderr of a command."""
    if "sslmode=disable" in ledger_url:
        pytest.skip("all connections to WebAssembly are one session")

    def run(*words: str, **settings: str) -> tuple[int, Any, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RACKMETER_")}
        done = subprocess.run(
            [sys.executable, "-m", "rackmeter", *words, "--json"],
            env={**clean, **settings, "RACKMETER_DATABASE_URL": ledger_url},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


def test_migrate_says_what_it_found(run: Run) -> None:
    code, said, _ = run("db", "migrate")
    assert code == 0
    found = {"postgresql": "PostgreSQL 1", "timescaledb": "TimescaleDB 2."}[said["backend"]]
    assert said["found"].startswith(found)


def test_maintain_does_what_its_dry_run_says_and_then_nothing(run: Run) -> None:
    (_, dry, _), (_, done, _), (code, again, _) = (
        run("db", "maintain", *words) for words in (["--dry-run"], [], [])
    )
    assert code == 0
    assert (dry["made"], dry["stored_before"]) == (done["made"], done["stored_before"])
    assert (again["made"], again["stale_hours"]) == ([], 0)


def test_maintain_keeps_what_is_needed_and_ends_with_5(run: Run, ledger_url: str) -> None:
    with connect(ledger_url, autocommit=True) as conn:
        books = Books(conn)
        books.open()
        books.windows([("s-1", START, 0, 5)])
        code, said, words = run("db", "maintain", RACKMETER_KEEP_WINDOWS_DAYS="62")
        assert code == 5
        assert said["dropped_windows"] == 0
        assert "2025-03 of scope berlin-s-1 is not sealed" in words
        books.assert_complete()
