"""Budgets from the table to the outbox: once however many look, and whatever is killed when."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from pipeline.budgets import Action
from schemas.errors import RefusedError
from schemas.prices import Charge, Fee, PerUnit
from schemas.serial import to_json
from sinks import watch
from sinks.accruals import rate_scope
from sinks.budgets import Terms, drop_budget, history, in_force, set_budget
from sinks.database import Connection, connect
from sinks.deliver import Outcome, Provisioning, Ways, deliver_due
from sinks.dunning import items_capped
from sinks.outbox import Alert
from sinks.timelines import end, reopen
from sinks.watch import due_accounts, look
from sinks.webhooks import set_webhook
from tests.fix_billing import (
    SECRET,
    START,
    TX,
    Receiver,
    meter_late,
    meter_windows,
    rent_small,
)
from tests.vault import VAULT

HOUR = timedelta(hours=1)
NOW = START + 2 * HOUR + timedelta(minutes=5)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MB = 1_000_000


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """acme rents i-1 with 100 MB included and 1.00 EUR for each further one; 0.10 EUR an hour."""
    rent_small(customer)
    return customer


def a_budget(
    conn: Connection,
    most: str,
    *,
    action: Action = Action.NOTIFY,
    item: str = "",
    charge: str = "",
    unit: str = "",
    percents: tuple[int, ...] = (100,),
    ahead: timedelta | None = None,
) -> int:
    terms = Terms("acme", item, charge, Decimal(most), unit, percents, ahead, action)
    return set_budget(conn, terms, "anna", NOW)[0].budget.budget


def use(conn: Connection, quantity: int, now: datetime = NOW, scope: str = "i-1") -> list[str]:
    """So much more traffic, rated, and what was said of budgets because of it."""
    server = scope.replace("i", "s")
    meter_late(conn, server, TX, "eth0", now.replace(minute=0) - HOUR, quantity)
    assert rate_scope(conn, scope, now, now) is not None
    return said(look(conn, "acme", now, now))


def said(alerts: tuple[Alert, ...]) -> list[str]:
    return [f"{alert.kind} {alert.threshold.split('/', 3)[3]}" for alert in alerts]


def commands(conn: Connection) -> list[tuple[str, list[str]]]:
    rows = conn.execute(
        "SELECT kind, body->'data'->'items' FROM alert_outbox WHERE channel = 'command'"
        " ORDER BY number"
    )
    return [(kind, items) for kind, items in rows]


def test_a_customers_budget_is_over_all_scopes(rented: Connection) -> None:
    rent_small(rented, "i-2", "s-2")
    a_budget(rented, "40", percents=(50, 100))
    assert use(rented, 115 * MB) == []
    assert use(rented, 115 * MB, scope="i-2") == ["crossed /net/50%"]
    assert use(rented, 10 * MB, NOW + HOUR, "i-2") == ["crossed /net/100%"]
    assert use(rented, 10 * MB, NOW + 2 * HOUR) == []
    row = rented.execute("SELECT body->'data' FROM alert_outbox WHERE threshold LIKE '%100_' AND"
                         " scope_id IS NULL").fetchone()  # fmt: skip
    assert row is not None
    assert row[0]["text"] == "acme has come to 40.70 of 40.00 EUR this month: 100 % is reached."
    assert (row[0]["used"], row[0]["limit"], row[0]["unit"]) == ("40.70", "40.00", "EUR")


def test_an_items_quantity_is_in_the_unit_of_its_price(rented: Connection) -> None:
    a_budget(rented, "30", item="i-1", charge="traffic", unit="MB")
    assert use(rented, 30 * MB - 1) == []
    assert use(rented, 1) == ["crossed i-1/traffic/100%"]


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"most": "1", "unit": "USD"}, "acme pays in EUR, not in USD"),
        ({"most": "1", "item": "i-9"}, "acme rents no item i-9"),
        ({"most": "1", "item": "i-1", "charge": "traffic", "unit": "TB"}, "is billed in MB"),
        ({"most": "1", "item": "i-1", "charge": "x", "unit": "TB"}, "has no charge x"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    rented: Connection, terms: dict[str, str], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        a_budget(rented, **terms)  # type: ignore[arg-type]


def test_a_budget_is_never_changed_but_ended_and_says_by_whom(rented: Connection) -> None:
    first = a_budget(rented, "40")
    assert a_budget(rented, "40") == first
    second = a_budget(rented, "50")
    drop_budget(rented, second, "bert", NOW + HOUR)
    assert in_force(rented, "acme") == []
    assert [(e.budget.most, e.set_by, e.ended_by) for e in history(rented)] == [
        (Decimal(40), "anna", "anna"), (Decimal(50), "anna", "bert"),
    ]  # fmt: skip
    with pytest.raises(RefusedError, match="ended at"):
        drop_budget(rented, second, "bert", NOW)


def test_a_changed_limit_tells_again_and_a_correction_takes_back_once(rented: Connection) -> None:
    a_budget(rented, "10")
    assert use(rented, 115 * MB) == ["crossed /net/100%"]
    a_budget(rented, "12")
    assert use(rented, 0) == ["crossed /net/100%"]
    assert use(rented, -4 * MB, NOW + HOUR) == ["cleared /net/100%"]
    assert use(rented, 0, NOW + HOUR) == []


def test_what_is_crossed_again_after_it_was_taken_back_is_told_again(rented: Connection) -> None:
    """To 15.30, 11.30 and 15.30 of 12.00: each fall and each rise once, and no small ones."""
    a_budget(rented, "12")
    kinds = [use(rented, 115 * MB)]
    for more in (-4, 0, 4, 0, -3, 3, -4, 4):
        kinds.append(use(rented, more * MB))
        assert use(rented, 0) == []
    up, down = ["crossed /net/100%"], ["cleared /net/100%"]
    assert kinds == [up, down, [], up, [], [], [], down, up]
    row = rented.execute("SELECT count(DISTINCT alert_id) FROM alert_outbox"
                         " WHERE scope_id IS NULL").fetchone()  # fmt: skip
    assert row == (5,)


def texts(conn: Connection) -> list[tuple[str, str]]:
    """Why crossings were taken back, and in which words."""
    rows = conn.execute(
        "SELECT body->'data'->>'because', body->'data'->>'text' FROM alert_outbox"
        " WHERE kind = 'cleared' AND scope_id IS NULL AND copy = 0 ORDER BY number"
    )
    return [(because, text) for because, text in rows]


def test_what_is_taken_back_says_what_is_true(rented: Connection) -> None:
    first = a_budget(rented, "10")
    use(rented, 115 * MB)
    use(rented, -10 * MB)
    use(rented, 10 * MB)
    second = a_budget(rented, "16")
    assert second != first
    look(rented, "acme", NOW, NOW)
    use(rented, 1 * MB)
    drop_budget(rented, second, "anna", NOW)
    look(rented, "acme", NOW, NOW)
    assert texts(rented) == [
        ("amount", "acme has come to 5.30 of 10.00 EUR this month: below 100 % again."),
        ("limit", "The limit of acme is 16.00 EUR now; it has come to 15.30, below 100 %."),
        ("dropped", "100 % of 16.00 EUR is no limit of acme any more."),
    ]


def test_what_is_released_is_said_and_nothing_else(rented: Connection) -> None:
    """A cap of the account and one of an item; then a bill that is not paid."""
    rent_small(rented, "i-2", "s-2")
    item = a_budget(rented, "5", action=Action.CAP, item="i-1")
    whole = a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    drop_budget(rented, whole, "anna", NOW)
    look(rented, "acme", NOW, NOW)
    rented.execute("INSERT INTO dunning (account_id, state, since, cycle)"
                   " VALUES ('acme', 'suspended', %s, %s)", (NOW, NOW))  # fmt: skip
    drop_budget(rented, item, "anna", NOW)
    look(rented, "acme", NOW, NOW)
    rows = rented.execute(
        "SELECT body->'data'->'resumes', body->'data'->'stays', body->'data'->>'text'"
        " FROM alert_outbox WHERE kind = 'cleared' AND scope_id IS NULL ORDER BY number"
    ).fetchall()
    assert rows == [
        (["i-2"], ["i-1"], ("100 % of 10.00 EUR is no limit of acme any more. What it suspended is"
         " being resumed, but for what something else holds.")),
        ([], ["i-1"], ("100 % of 5.00 EUR is no limit of i-1 any more. What it suspended stays so:"
         " something else holds it.")),
    ]  # fmt: skip


def test_what_is_rented_while_a_cap_is_in_force_is_suspended_once(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    for item, server in (("i-2", "s-2"), ("i-3", "s-3")):
        rent_small(rented, item, server, NOW)
        assert use(rented, 0, NOW + HOUR, item) == ["suspend /net/100%"]
        assert use(rented, 1 * MB, NOW + HOUR, item) == []
    assert use(rented, -20 * MB, NOW + HOUR) == ["cleared /net/100%", "resume /net/100%"]
    assert use(rented, 20 * MB, NOW + HOUR) == ["crossed /net/100%", "suspend /net/100%"]
    assert commands(rented) == [
        ("suspend", ["i-1"]), ("suspend", ["i-2"]), ("suspend", ["i-3"]),
        ("resume", ["i-1", "i-2", "i-3"]), ("suspend", ["i-1", "i-2", "i-3"]),
    ]  # fmt: skip


def test_an_items_own_cap_suspends_no_other(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP, item="i-1")
    use(rented, 115 * MB)
    rent_small(rented, "i-2", "s-2", NOW)
    assert use(rented, 0, NOW + HOUR, "i-2") == []


def test_a_cap_suspends_resumes_and_holds_again(rented: Connection) -> None:
    rent_small(rented, "i-2", "s-2")
    a_budget(rented, "10", action=Action.CAP)
    assert use(rented, 115 * MB) == ["crossed /net/100%", "suspend /net/100%"]
    assert use(rented, -10 * MB) == ["cleared /net/100%", "resume /net/100%"]
    assert use(rented, 10 * MB) == ["crossed /net/100%", "suspend /net/100%"]
    raised = a_budget(rented, "16", action=Action.CAP)
    assert said(look(rented, "acme", NOW, NOW)) == ["cleared /net/100%", "resume /net/100%"]
    assert use(rented, 1 * MB) == ["crossed /net/100%", "suspend /net/100%"]
    drop_budget(rented, raised, "anna", NOW)
    assert said(look(rented, "acme", NOW, NOW)) == ["cleared /net/100%", "resume /net/100%"]
    assert [kind for kind, _ in commands(rented)] == ["suspend", "resume"] * 3
    assert all(items == ["i-1", "i-2"] for _, items in commands(rented))


def test_a_cap_that_suspended_nothing_resumes_nothing(rented: Connection) -> None:
    """The item had ended; then its end is taken back."""
    use(rented, 115 * MB)
    end(rented, "i-1", NOW, NOW)
    a_budget(rented, "10", action=Action.CAP)
    assert said(look(rented, "acme", NOW + HOUR, NOW)) == ["crossed /net/100%"]
    reopen(rented, "i-1", NOW)
    assert use(rented, -20 * MB, NOW + HOUR) == ["cleared /net/100%"]
    assert commands(rented) == []


def test_what_another_cap_holds_stays_suspended(rented: Connection) -> None:
    rent_small(rented, "i-2", "s-2")
    a_budget(rented, "5", action=Action.CAP, item="i-1")
    whole = a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    drop_budget(rented, whole, "anna", NOW)
    look(rented, "acme", NOW, NOW)
    assert commands(rented) == [("suspend", ["i-1", "i-2"]), ("resume", ["i-2"])]


def test_a_new_month_begins_at_zero_and_lifts_what_the_last_one_capped(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP)
    a_budget(rented, "10")
    assert len(use(rented, 115 * MB)) == 3
    assert due_accounts(rented, NOW) == []
    assert due_accounts(rented, APRIL) == ["acme"]
    assert said(look(rented, "acme", APRIL, APRIL)) == ["cleared /net/100%", "resume /net/100%"]
    assert look(rented, "acme", APRIL + HOUR, APRIL) == ()
    assert use(rented, 130 * MB, APRIL + 3 * HOUR) == [
        "crossed /net/100%", "crossed /net/100%", "suspend /net/100%",
    ]  # fmt: skip
    assert texts(rented) == [
        ("month", ("A new month has begun: what acme came to in the last one counts no more."
         " What it suspended is being resumed.")),
    ]  # fmt: skip


def test_a_cap_that_was_passed_tenfold_holds_nothing_in_the_next_month(rented: Connection) -> None:
    """100 % suspends; 1000 % only tells, and nobody takes it back when a month is over."""
    a_budget(rented, "1", action=Action.CAP, percents=(100, 1000))
    assert use(rented, 115 * MB) == [
        "crossed /net/100%", "crossed /net/1000%", "suspend /net/100%",
    ]  # fmt: skip
    assert items_capped(rented, "acme", ["i-1"]) == {"i-1"}
    look(rented, "acme", APRIL, APRIL)
    assert items_capped(rented, "acme", ["i-1"]) == set()


def test_a_forecast_goes_by_the_last_hour(rented: Connection) -> None:
    a_budget(rented, "30", item="i-1", charge="traffic", unit="MB", ahead=6 * HOUR)
    assert use(rented, 10 * MB) == []
    assert use(rented, 1 * MB, NOW + HOUR) == []
    assert use(rented, 4 * MB, NOW + 2 * HOUR) == ["forecast i-1/traffic/forecast"]
    assert use(rented, 4 * MB, NOW + 3 * HOUR) == []
    row = rented.execute("SELECT body->'data' FROM alert_outbox WHERE kind = 'forecast'").fetchone()
    assert row is not None
    assert row[0]["text"] == (
        "i-1 (traffic) has come to 15.00 of 30 MB; 30 MB is reached in 6 h at this rate."
    )
    assert row[0]["reached_at"] == "2026-03-01T10:05:00Z"


def test_a_fee_is_no_pace(rented: Connection) -> None:
    """40.00 a month are there at once and leave 5.70; an hour later traffic brings 4.00."""
    rent_small(rented, "i-2", "s-2")
    fee = Charge(Fee(), PerUnit(Decimal(40)), "hosting")
    rented.execute(
        "UPDATE item_price SET price = %s WHERE item_id = 'i-2' AND charge = 'rent'",
        (Jsonb(to_json(fee)),),
    )
    a_budget(rented, "46", ahead=5 * HOUR)
    assert use(rented, 100 * MB) == []
    assert use(rented, 0, NOW + HOUR, "i-2") == []
    assert use(rented, 4 * MB, NOW + 2 * HOUR) == ["forecast /net/forecast"]


def test_nobody_is_missed_when_two_scopes_are_rated_at_once(
    rented: Connection, billing_url: str
) -> None:
    """Neither alone reaches 20 EUR; whoever looks last sees both."""
    rent_small(rented, "i-2", "s-2")
    a_budget(rented, "20")
    gate, found = threading.Barrier(2), list[str]()

    def work(scope: str) -> None:
        with connect(billing_url, autocommit=True) as conn:
            gate.wait(30)
            found.extend(use(conn, 110 * MB, scope=scope))

    threads = [threading.Thread(target=work, args=(scope,)) for scope in ("i-1", "i-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["crossed /net/100%"]


@pytest.mark.parametrize("step", ["_figures", "_enter", "_note", "enqueue"])
def test_a_crash_at_any_step_of_a_look_misses_and_doubles_nothing(
    rented: Connection, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    a_budget(rented, "10", action=Action.CAP)
    done = getattr(watch, step)

    def crash(*arguments: object) -> object:
        result = done(*arguments)
        if not isinstance(result, list | bool | None):
            list(result)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watch, step, crash)
        with pytest.raises(KeyboardInterrupt):
            use(rented, 115 * MB)
    assert commands(rented) == []
    assert due_accounts(rented, NOW) == ["acme"], "the sweep finds what a crash left"
    assert said(look(rented, "acme", NOW, NOW)) == ["crossed /net/100%", "suspend /net/100%"]
    assert due_accounts(rented, NOW) == []
    assert look(rented, "acme", NOW, NOW) == ()


def test_a_command_goes_to_provisioning_alone_and_in_order(
    rented: Connection, receiver: Receiver
) -> None:
    a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    use(rented, -10 * MB)
    rented.execute("UPDATE alert_outbox SET failed = 'not of this test' WHERE channel = 'webhook'")
    receiver.answers.append(503)
    ways = Ways(VAULT, provisioning=Provisioning(receiver.url, SECRET))

    def clock() -> datetime:
        return datetime.now(UTC)

    rented.execute("UPDATE alert_outbox SET next_try_at = %s", (NOW,))
    (first,) = deliver_due(rented, ways, clock)
    assert (first.outcome, first.why) == (Outcome.RETRY, "provisioning answered 503")
    assert deliver_due(rented, ways, clock) == [], "to resume waits for to suspend"
    rented.execute("UPDATE alert_outbox SET next_try_at = %s", (NOW,))
    assert [sent.outcome for sent in deliver_due(rented, ways, clock)] == [Outcome.DELIVERED] * 2
    assert [body["type"] for body in receiver.bodies.values()] == [
        "provisioning.suspend", "provisioning.resume",
    ]  # fmt: skip
    assert len(receiver.ids) == 3
    assert len(set(receiver.ids)) == 2


def test_budgets_are_told_to_a_receiver_in_their_order(
    rented: Connection, receiver: Receiver
) -> None:
    """Crossed, taken back, crossed: whoever got them in another order would believe the wrong."""
    set_webhook(rented, VAULT, "acme", receiver.url, SECRET, allow_private=True)
    a_budget(rented, "10", percents=(10, 20, 30, 40, 50, 60, 70, 80, 90, 100))
    for more in (115, -20, 20, -20, 20):
        use(rented, more * MB)
    rented.execute("DELETE FROM alert_outbox WHERE scope_id IS NOT NULL")
    rows = rented.execute("SELECT alert_id FROM alert_outbox ORDER BY number").fetchall()
    rented.execute("UPDATE alert_outbox SET next_try_at = %s", (NOW,))
    deliver_due(rented, Ways(VAULT, allow_private=True), lambda: datetime.now(UTC))
    assert len(rows) == 50
    assert receiver.ids == [row[0] for row in rows]


def test_a_customer_sees_what_he_was_told_and_no_command(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    (ticket,) = rented.execute("SELECT customer.ticket('acme')").fetchone() or ("",)
    with rented.transaction():
        rented.execute("SELECT set_config('rackmeter.account', %s, true)", (ticket,))
        rented.execute("SET LOCAL ROLE rackmeter_customer")
        kinds = rented.execute("SELECT kind FROM customer.alert ORDER BY 1").fetchall()
        channels = rented.execute("SELECT DISTINCT channel FROM alert_outbox").fetchall()
    assert (kinds, channels) == ([("crossed",)] * 4, [("webhook",)])


def test_the_writer_may_look(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP)
    meter_late(rented, "s-1", TX, "eth0", START, 115 * MB)
    rented.execute("SET ROLE rackmeter_writer")
    try:
        assert due_accounts(rented, NOW) == ["acme"]
        assert rate_scope(rented, "i-1", NOW, NOW) is not None
        assert said(look(rented, "acme", NOW, NOW)) == ["crossed /net/100%", "suspend /net/100%"]
    finally:
        rented.execute("RESET ROLE")


def test_without_provisioning_a_command_waits_for_somebody_to_set_it(rented: Connection) -> None:
    a_budget(rented, "10", action=Action.CAP)
    use(rented, 115 * MB)
    rented.execute("UPDATE alert_outbox SET failed = 'not of this test' WHERE channel = 'webhook'")
    (done,) = deliver_due(rented, Ways(VAULT), lambda: datetime.now(UTC))
    assert (done.outcome, done.why) == (Outcome.RETRY, "RACKMETER_PROVISIONING_URL is not set")


# -- two raters as processes, killed again and again -----------------------------------------------


class Raters:
    """Two processes that rate, look and deliver; each may be killed at any moment."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "tests.sinks.rating_process", *arguments]
        self.running = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def kill_one(self, which: int) -> None:
        self.running[which].kill()
        self.running[which].wait()
        self.running[which] = self._start()

    def end(self) -> None:
        for process in self.running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def raters(rented: Connection, billing_url: str, receiver: Receiver) -> Iterator[Raters]:
    set_webhook(rented, VAULT, "acme", receiver.url, SECRET, allow_private=True)
    found = Raters(billing_url, receiver.url)
    yield found
    found.end()


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_two_raters_killed_again_and_again_miss_and_double_nothing(
    rented: Connection, raters: Raters, receiver: Receiver
) -> None:
    chance = random.Random(7)
    now = datetime.now(UTC)
    # Rent of the month so far counts too, so quantities are what this goes by.
    for percent in (25, 75):
        a_budget(rented, str(percent), item="i-1", charge="traffic", unit="MB",
                 action=Action.CAP if percent == 75 else Action.NOTIFY)  # fmt: skip
    window = now.replace(minute=0, second=0, microsecond=0) - HOUR
    meter_windows(rented, "s-1", {(TX, "eth0"): [0]}, window)
    for _ in range(22):
        meter_late(rented, "s-1", TX, "eth0", window, 5 * MB)
        time.sleep(chance.uniform(0.05, 0.4))
        if chance.random() < 0.6:
            raters.kill_one(chance.randrange(2))
    expected = {
        "i-1/traffic/50%", "i-1/traffic/80%", "i-1/traffic/100%",
        "budget/notify/acme/i-1/traffic/100%", "budget/cap/acme/i-1/traffic/100%",
    }  # fmt: skip
    wait_until(lambda: len(receiver.bodies) == len(expected) + 1)
    raters.end()
    rows = rented.execute(
        "SELECT threshold, kind, delivered_at IS NOT NULL FROM alert_outbox ORDER BY number"
    ).fetchall()
    crossed = [threshold for threshold, kind, _ in rows if kind == "crossed"]
    assert sorted(crossed) == sorted(expected), "each once, none missed"
    assert [kind for _, kind, _ in rows if kind != "crossed"] == ["suspend"]
    assert set(receiver.ids) == set(receiver.bodies), "repeated only under the same id"
