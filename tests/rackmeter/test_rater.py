"""The rater: hints noted at once and once, scopes that fail, a database that is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
from psycopg.types.json import Jsonb

from pipeline.records import Chunk, Taped
from rackmeter import rater as rater_module
from rackmeter.rater import Rater
from schemas.events import Changed, encode_changed
from sinks.database import Connection
from tests.fix_billing import rent_small


@pytest.fixture
def rater(customer: Connection, billing_url: str) -> Iterator[Rater]:
    """For acme's three scopes."""
    for number in (1, 2, 3):
        rent_small(customer, f"i-{number}", f"s-{number}")
    made = Rater(billing_url)
    made._sweep_at = time.monotonic() + 3600
    yield made
    made.close()


def run(*steps: Callable[[], Awaitable[None]]) -> None:
    async def all_of_them() -> None:
        for step in steps:
            await step()

    asyncio.run(all_of_them())


def chunk(*hints: Changed) -> Chunk:
    return Chunk("changed", 0, [Taped(0, 0, 1, None, encode_changed(hints), ())])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ratings(conn: Connection) -> dict[str, int]:
    rows = conn.execute("SELECT scope_id, max(revision) FROM accrual GROUP BY 1").fetchall()
    return dict(rows)


def test_a_hint_of_our_own_is_noted_at_once_and_not_again_when_it_comes_back(
    rater: Rater, customer: Connection
) -> None:
    sent: list[Changed] = []

    async def send(hints: Sequence[Changed]) -> None:
        sent.extend(hints)

    rater.send_hints, rater.owns = send, lambda scope: scope != "i-3"
    touched = dict.fromkeys(["s-1", "s-2", "s-3"], now_ms())
    run(lambda: rater.announce(touched, now_ms()), rater.rate_waiting)
    assert ratings(customer) == {"i-1": 1, "i-2": 1}
    assert sorted(hint.scope for hint in sent) == ["i-1", "i-2", "i-3"], "for whoever comes after"
    run(lambda: rater.take(chunk(*sent)))
    assert list(rater._waiting) == ["i-3"], "another's, that is ours by now"
    run(lambda: rater.take(chunk(*sent)))
    assert sorted(rater._waiting) == ["i-1", "i-2", "i-3"], "repeated: rated twice, no harm"


def test_a_scope_that_cannot_be_rated_rests_and_stops_no_other(
    rater: Rater, customer: Connection
) -> None:
    customer.execute("UPDATE item_price SET price = %s WHERE item_id = 'i-2'", (Jsonb({}),))
    hints = [Changed(f"i-{number}", now_ms(), now_ms()) for number in (1, 2, 3)]
    run(lambda: rater.take(chunk(*hints)), rater.rate_waiting)
    assert sorted(ratings(customer)) == ["i-1", "i-3"]
    assert list(rater._waiting) == ["i-2"], "it is not forgotten"
    assert rater._batch() == {}
    assert rater._rest_until["i-2"] > time.monotonic() + 30


def test_while_the_database_is_away_nothing_is_forgotten(
    rater: Rater, customer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rater_module, "PAUSE_S", 0.01)
    hints = [Changed("i-1", now_ms(), now_ms())]
    url, rater._rating._url = rater._rating._url, "postgresql://127.0.0.1:1/nobody"
    run(lambda: rater.take(chunk(*hints)), rater.rate_waiting)
    assert (list(rater._waiting), ratings(customer)) == (["i-1"], {})
    rater._rating._url = url
    run(rater.rate_waiting)
    assert (rater._waiting, ratings(customer)) == ({}, {"i-1": 1})


def test_what_has_waited_longest_comes_first(rater: Rater, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rater_module, "BATCH_SCOPES", 2)
    hints = [Changed(f"i-{number}", now_ms(), now_ms()) for number in (3, 1, 2)]
    run(lambda: rater.take(chunk(*hints)))
    assert list(rater._batch()) == ["i-3", "i-1"]
    run(rater.rate_waiting)
    assert list(rater._batch()) == ["i-2"]
