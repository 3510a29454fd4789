"""kill -9 of the collector, again and again: each invoice is paid once, and the books balance.

Killed between any two steps, while a request is on its way, or after it was done and before its
answer came; answers are lost besides. The next run comes minutes or more than a day later. The seed
of a failure is in its name; RACKMETER_SEEDS=50 runs more.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest

from sinks.journal import entries
from tests.payments.stripe_server import CANCEL, CONFIRM, CREATE, Fault
from tests.payments.world import DECLINED, DUE, GOOD, World

SEEDS = int(os.environ.get("RACKMETER_SEEDS", "20"))
EACH = 10
KILLS = 4
DAY = timedelta(days=1)


class Crew:
    """The process that forks collectors, and the one that runs."""

    def __init__(self, world: World) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.payments.collector", world.url, world.stripe.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.child = 0

    def run(self, world: World, step: int = 0) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{world.now.isoformat()} {step}\n")
        self.process.stdin.flush()
        self.child = int(self.process.stdout.readline())
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)


@pytest.fixture
def crew(world: World) -> Iterator[Crew]:
    made = Crew(world)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.parametrize("first", range(0, SEEDS, EACH), ids="from seed {}".format)
def test_each_invoice_is_paid_exactly_once(world: World, crew: Crew, first: int) -> None:
    killed = sum(_one(world, crew, seed) for seed in range(first, first + EACH))
    assert killed >= EACH, "or nothing was tested"


def _one(world: World, crew: Crew, seed: int) -> int:
    """One customer who can pay and one who cannot; how many collectors were killed."""
    rng = random.Random(seed)
    good, bad = world.account(f"good-{seed}", GOOD), world.account(f"bad-{seed}", DECLINED)
    bills = {world.bill(good, f"{rng.randint(100, 99999) / 100:.2f}"): "paid" for _ in range(2)}
    bills[world.bill(bad, "25.00")] = "open"
    rich = [world.bill(world.account(f"rich-{seed}", None), "50.00", due_at=DUE - DAY)]
    rich += [world.bill(f"rich-{seed}", gross) for gross in ("20.00", "25.00")]
    world.receive(rich[0], "80.00")
    killed = 0
    for _ in range(KILLS):
        step = _plan(world, crew, rng)
        killed += crew.run(world, step) == -signal.SIGKILL
        world.now += rng.choice((timedelta(minutes=5), timedelta(hours=25)))
    world.stripe.faults, world.stripe.hook = [], None
    clean = 0
    for _ in range(9):  # on a busy machine an answer may be late again, with nothing in its way
        clean += crew.run(world) == 0
        world.now += timedelta(minutes=5)
        if clean == 3:
            break
    assert clean == 3, f"seed {seed}"
    _audit(world, bills, seed)
    # 30.00 too much were paid: each cent of it pays the others once.
    opened = [world.open(rich[0]), *sorted(world.open(number) for number in rich[1:])]
    assert opened == [0, 0, 15], f"seed {seed}"
    moved = entries(world.conn, kind="apply", invoice=rich[0])
    assert len(moved) == 2, f"seed {seed}"
    world.receive(next(number for number in rich if world.open(number)), "15.00")
    return killed


def _plan(world: World, crew: Crew, rng: random.Random) -> int:
    """Where the next one dies: the number of a step, or 0 and in the middle of a request."""
    state = world.stripe
    state.faults, state.hook = [], None
    if rng.random() < 0.3:
        kind, path = rng.choice(("reset", "500")), rng.choice((CREATE, CONFIRM, CANCEL))
        state.faults = [Fault(kind, path, after=rng.random() < 0.5)]
    if rng.random() < 0.5:
        return rng.randint(1, 14)
    doomed, after = rng.randint(1, 8), rng.random() < 0.5
    seen = 0

    def hook(done: bool) -> None:
        nonlocal seen
        if done is after:
            seen += 1
            if seen == doomed:
                crew.kill()

    state.hook = hook
    return 0


def _audit(world: World, bills: dict[str, str], seed: int) -> None:
    for number, status in bills.items():
        paid = world.paid_at_stripe(number)
        assert len(paid) == (status == "paid"), f"seed {seed}: {number} {world.attempts(number)}"
        assert world.status(number) == status, f"seed {seed}: {number}"
    rows = world.conn.execute(
        "SELECT state, count(*), sum(received), sum(fee) FROM payment_attempt"
        " WHERE state <> 'canceled' GROUP BY 1"
    ).fetchall()
    assert [row[0] for row in rows] == ["paid"], f"seed {seed}: {rows}"
    owed = Decimal(15) + Decimal(25) * (len(world.conn.execute(
        "SELECT FROM invoice_status WHERE status = 'open' AND gross = 25").fetchall()))  # fmt: skip
    books = world.balances()
    assert books["receivable"] == owed, f"seed {seed}"
    assert books["clearing:stripe"] == rows[0][2] - rows[0][3], f"seed {seed}"
