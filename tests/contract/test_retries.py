"""A refused report once more, on both brokers: metered where it would have been, once."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.retries import retry_headers
from rackmeter.cli import main as cli
from schemas.envelope import Key, headers
from schemas.report import encode
from sinks.database import Connection, connect
from sinks.keys import register
from tests.fix_kafka import Broker
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    ENVIRONMENT,
    SECRET,
    Fleet,
    Scene,
    Worker,
    assert_exact,
    metered,
    recent_ms,
    wait_for,
    worker,
)
from tests.vault import VAULT


@pytest.fixture(scope="module")
def scene(
    broker: Broker,
    make_database: MakeDatabase,
    billing_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder = tmp_path_factory.mktemp("retries")
    return Scene.new(broker.bootstrap, make_database(billing_template), folder)


@pytest.fixture(scope="module")
def running(scene: Scene) -> Iterator[Worker]:
    with worker(scene) as process:
        yield process
        assert process.process.poll() is None, process.said()


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def fleet(scene: Scene, running: Worker, conn: Connection) -> Fleet:
    assert running.process.poll() is None
    return Fleet(scene, conn, recent_ms())


@pytest.fixture
def dlq(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`rackmeter dlq …` in the scene: its document, or the sentence of its refusal."""
    for name, value in scene.environment.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str, code: int = 0) -> Any:
        assert cli.run(["dlq", *arguments, "--json"]) == code, capsys.readouterr()
        shown = json.loads(capsys.readouterr().out)
        return shown["error"]["message"] if code else shown

    return command


def refused(conn: Connection, count: int) -> None:
    wait_for(
        lambda: conn.execute("SELECT count(*) FROM dead_letter").fetchone() == (count,),
        f"{count} dead letters",
    )


def test_a_report_that_came_before_its_key(
    conn: Connection, fleet: Fleet, broker: Broker, dlq: Callable[..., Any]
) -> None:
    """Registered only afterwards, with a key that begins then. On a topic that dates, the retry is
    appended at another time than the report was; the report is dated by its own all the same.
    """
    fleet.report("early", times=3)
    refused(conn, 3)
    listed = dlq("list", "--server", "early")
    assert listed["counts"] == {"unknown_key": 3}
    newest = listed["letters"][0]
    would = dlq("retry", newest["position"], "--dry-run")
    assert [one["outcome"] for one in would["letters"]] == ["unknown_key"]

    time.sleep(1.1)  # What a topic dates anew must be later than what was refused.
    key = Key("k-early", "early", SECRET, time.time_ns() // 1_000_000)
    register(conn, VAULT, [key])
    would = dlq("retry", "--reason", "unknown_key", "--dry-run")
    assert [one["outcome"] for one in would["letters"]] == ["accepted"] * 3
    assert would["sent"] == 0
    assert "Nobody is there to ask" in dlq("retry", "--reason", "unknown_key", code=2)
    assert metered(conn) == {}
    assert dlq("retry", "--reason", "unknown_key", "--yes")["sent"] == 3
    wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
    assert_exact(conn, fleet)
    at_ms = fleet.start_ms + 3 * 300_000 if broker.embedded else newest["appended_ms"] - 5
    assert conn.execute("SELECT at_ms FROM server_state").fetchall() == [(at_ms,)]

    assert "retried before" in dlq("retry", newest["position"], code=5)
    [once_more] = dlq("retry", newest["position"], "--again", "--yes")["letters"]
    assert once_more["outcome"] == "duplicate"
    assert all(one["retried_ms"] for one in dlq("list")["letters"])
    fleet.report("early")
    wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
    assert_exact(conn, fleet)


def test_a_header_alone_changes_nothing(conn: Connection, fleet: Fleet, scene: Scene) -> None:
    """A tenant names a letter of his that was never released: his report has its own time."""
    register(conn, VAULT, [Key("k-sly", "sly", SECRET)])
    fleet.truth |= {"early": metered(conn)["early"]}
    made = fleet.next("sly")
    body = encode(made)
    signed = headers(made, body, Key("k-sly", "sly", SECRET), ENVIRONMENT, scene.reports)
    part, offset = conn.execute(
        'SELECT part, "offset" FROM dead_letter ORDER BY append_ms LIMIT 1'
    ).fetchone() or (0, 0)
    fleet.produce(value=body, key=b"sly", headers=retry_headers(signed, part, offset))
    fleet.flush()
    wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
    assert_exact(conn, fleet)


def test_what_never_changes_is_not_sent(
    conn: Connection, fleet: Fleet, dlq: Callable[..., Any]
) -> None:
    count = conn.execute("SELECT count(*) FROM dead_letter").fetchone() or (0,)
    fleet.produce(value=b"junk", key=b"x", headers=[])
    fleet.flush()
    refused(conn, count[0] + 1)
    [letter] = dlq("list", "--reason", "malformed")["letters"]
    assert "it stays no report" in dlq("retry", letter["position"], code=5)
    [row] = dlq("retry", "--reason", "malformed", "--yes")["letters"]
    assert row["outcome"] == "skipped"
    shown = dlq("show", letter["position"])
    assert (shown["body"], shown["key"], shown["server"]) == ("junk", "x", "x")
