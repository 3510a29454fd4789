"""Keys change while a real worker meters: by the command line, under reports that they sign."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rackmeter.intake import KEYS_LOOK_S
from rackmeter.stack import Stack
from schemas.envelope import Headers, Key, headers
from schemas.report import Report, encode
from sinks.database import Connection, connect
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    ENVIRONMENT,
    SECRET,
    Fleet,
    Scene,
    assert_exact,
    metered,
    offsets,
    wait_for,
    worker,
)

OVERLAP_S = int(KEYS_LOOK_S) + 3
"""Longer than it takes a worker to hear of an end."""
SLACK_S = 4.0
"""For a fetch, a checkpoint and a busy machine."""
OLD = Key("k-s0", "s0", SECRET)


@pytest.fixture
def scene(
    stack: Stack, make_database: MakeDatabase, billing_template: str, tmp_path: Path
) -> Scene:
    return Scene.new(stack.bootstrap, make_database(billing_template), tmp_path)


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


def command(scene: Scene, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "rackmeter", "server", *arguments, "--json"],
        env={**os.environ, **scene.environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def signed(scene: Scene, key: Key, report: Report) -> Headers:
    return headers(report, encode(report), key, ENVIRONMENT, scene.reports)


@pytest.mark.slow
def test_a_rotation_and_a_revocation_reach_a_running_worker(
    scene: Scene, conn: Connection, make_database: MakeDatabase, billing_template: str
) -> None:
    fleet = Fleet(scene, conn)
    fleet.enrol("s0")

    def meter(key: Key) -> float:
        """A report signed with this key is in the ledger after so many seconds."""
        report, began = fleet.next("s0"), time.monotonic()
        fleet.send(report, headers=signed(scene, key, report))
        fleet.flush()
        wait_for(lambda: metered(conn) == fleet.truth, f"report of {key.kid}")
        return time.monotonic() - began

    def repeat(key: Key) -> None:
        """The last report once more: a duplicate where the key holds, a dead letter where not."""
        report = fleet.lie("s0", value=(fleet.truth["s0"],))
        fleet.send(report, headers=signed(scene, key, report))
        fleet.flush()

    with worker(scene) as running:
        meter(OLD)
        second, ends = rotated(scene, "--overlap", f"{OVERLAP_S}s")
        assert list(ends) == [OLD.kid]
        took = meter(second)
        print(f"a new key: in the ledger {took:.2f} s after its first report was sent")
        assert took < SLACK_S
        meter(OLD)
        time.sleep(max(0.0, ends[OLD.kid] / 1000 - time.time()))
        late = until_refused(lambda: repeat(OLD), conn)
        print(f"the end of an overlap: refused after {late:.2f} s")
        assert late < SLACK_S

        third, ends = rotated(scene, "--again")
        assert list(ends) == [second.kid]
        meter(third)
        meter(second)
        command(scene, "revoke-key", second.kid)
        late = until_refused(lambda: repeat(second), conn)
        print(f"a revocation: refused after {late:.2f} s")
        assert late < KEYS_LOOK_S + SLACK_S
        meter(third)
        assert running.stop() == 0
        assert not [key for key in (second, third) if key.secret.hex() in running.said()]
    assert_exact(conn, fleet)
    for reason, detail in conn.execute("SELECT reason, detail FROM dead_letter"):
        assert reason == "unknown_key"
        assert "sign with the current key" in detail
    replay(scene, conn, fleet, make_database(billing_template))


def rotated(scene: Scene, *arguments: str) -> tuple[Key, dict[str, int]]:
    """The new key of s0, and when each other one ends."""
    made = command(scene, "rotate-key", "s0", *arguments)
    return Key(made["kid"], "s0", bytes.fromhex(made["secret"])), made["ends_ms"]


def refused(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM dead_letter").fetchone()
    return int(row[0]) if row else 0


def until_refused(again: Callable[[], None], conn: Connection) -> float:
    """Seconds until one more is refused, sending one every fifth of a second."""
    before, began = refused(conn), time.monotonic()
    while refused(conn) == before:
        assert time.monotonic() - began < 60, "a key that has ended is still taken"
        again()
        time.sleep(0.2)
    return time.monotonic() - began


def replay(scene: Scene, conn: Connection, fleet: Fleet, url: str) -> None:
    """Another ledger reads the topic from its start, with keys that have ended since.

    Then a key's row is changed: the worker stops rather than refuse what it can no longer check.
    """
    with connect(url, autocommit=True) as other:
        with other.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO agent_key VALUES (%s, %s, %s, %s, %s)",
                conn.execute("SELECT * FROM agent_key").fetchall(),
            )
        with worker(replace(scene, url=url)) as running:
            wait_for(lambda: offsets(other) == offsets(conn), "end of the topic")
            assert metered(other) == metered(conn)
            letters = refused(other)
            other.execute("UPDATE agent_key SET secret = substr(secret, 1, 40) WHERE kid = 'k-s0'")
            time.sleep(KEYS_LOOK_S)
            fleet.report("s0")
            assert running.process.wait(SLACK_S + 15) == 3, running.said()
            assert "The secret of agent_key k-s0 is not what was stored there" in running.said()
        assert refused(other) == letters
