"""Deliveries to a real HTTP receiver that checks every signature."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from sinks import deliver as deliver_module
from sinks.audit import Wanted, newest
from sinks.claims import LEASE, claim_due
from sinks.database import Connection
from sinks.deliver import RETRY_AFTER_S, Delivery, Outcome, Ways, deliver_due, retry_at, send
from sinks.egress import SendFailedError, TargetRefusedError, is_public, post
from sinks.outbox import enqueue, latencies
from sinks.vault import Vault
from sinks.webhooks import secret_row, set_webhook
from tests.fix_billing import SECRET, WAYS, Receiver
from tests.sinks.test_outbox import an_alert, put_scope, state
from tests.vault import VAULT


class Clock:
    """The real time, moved by hand: a receiver refuses stamps that are minutes off."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def stored(secret: str, account: str = "acme") -> bytes:
    return VAULT.encrypt(secret.encode(), secret_row(account))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(billing: Connection, receiver: Receiver, clock: Clock) -> Connection:
    """One event is due for the receiver."""
    put_scope(billing, receiver.url)
    enqueue(billing, an_alert(), clock())
    return billing


def tries(outbox: Connection, clock: Clock, attempts: int = 20) -> Iterator[Delivery]:
    """Delivers whatever is due, moving `next_try_at` to now instead of waiting for it."""
    for _ in range(attempts):
        yield from deliver_due(outbox, WAYS, clock)
        outbox.execute("UPDATE alert_outbox SET next_try_at = %s", (clock(),))


def test_an_event_arrives_once_signed(outbox: Connection, receiver: Receiver, clock: Clock) -> None:
    (done,) = tries(outbox, clock)
    assert (done.outcome, done.attempt) == (Outcome.DELIVERED, 1)
    assert receiver.ids == [an_alert().alert_id]
    assert receiver.bodies == {an_alert().alert_id: an_alert().body}
    assert state(outbox, "delivered_at") == [clock.now]
    assert len(latencies(outbox)) == 1


def test_trouble_is_tried_again_under_the_same_id(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers.extend([500, 503, 429])
    done = list(tries(outbox, clock))
    assert [delivery.outcome for delivery in done] == [Outcome.RETRY] * 3 + [Outcome.DELIVERED]
    assert done[0].why == "the receiver answered 500"
    assert receiver.ids == [an_alert().alert_id] * 4
    assert len(receiver.bodies) == 1


def test_a_crash_between_sending_and_recording_sends_again_under_the_same_id(
    outbox: Connection, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deliver_module, "record_delivered", crash)
        with pytest.raises(KeyboardInterrupt):
            deliver_due(outbox, WAYS, clock)
    assert deliver_due(outbox, WAYS, clock) == []
    clock.now += LEASE
    (done,) = deliver_due(outbox, WAYS, clock)
    assert (done.outcome, done.attempt) == (Outcome.DELIVERED, 2)
    assert receiver.ids == [an_alert().alert_id] * 2
    assert len(receiver.bodies) == 1


def test_a_redirect_is_a_failure_and_not_followed(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers.append(302)
    (done,) = deliver_due(outbox, WAYS, clock)
    assert (done.outcome, done.why) == (Outcome.RETRY, "the receiver answered 302")
    assert len(receiver.ids) == 1


def test_gone_disables_the_endpoint_for_everything_else(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers.append(410)
    done = deliver_due(outbox, WAYS, clock)
    enqueue(outbox, an_alert(100), clock())
    done += tries(outbox, clock)
    assert [delivery.outcome for delivery in done] == [Outcome.GIVEN_UP] * 2
    assert len(receiver.ids) == 1
    assert outbox.execute("SELECT webhook_disabled_at FROM account").fetchone() == (clock.now,)
    assert None not in state(outbox, "failed")
    row = newest(outbox, Wanted(action="account.webhook-off"), 9)
    assert [one.said.reason for one in row if one.said] == ["it answered 410"]


def test_nobody_is_tried_for_ever(outbox: Connection, receiver: Receiver, clock: Clock) -> None:
    receiver.answers.extend([500] * 50)
    done = list(tries(outbox, clock, attempts=50))
    assert len(done) == len(RETRY_AFTER_S) + 1
    assert done[-1].outcome is Outcome.GIVEN_UP
    assert done[-1].why == (
        "10 tries, the last one: the receiver answered 500;"
        " nothing was taken for days, the webhook is now disabled"
    )


def test_an_endpoint_that_takes_other_events_is_not_dead(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    """One event that it will not have does not end the others."""
    enqueue(outbox, an_alert(100), clock())
    outbox.execute("UPDATE alert_outbox SET attempts = 9 WHERE threshold LIKE '%/80_'")
    outbox.execute("UPDATE alert_outbox SET delivered_at = %s WHERE attempts = 0", (clock(),))
    receiver.answers.append(400)
    (done,) = deliver_due(outbox, WAYS, clock)
    assert (done.outcome, done.why) == (
        Outcome.GIVEN_UP, "10 tries, the last one: the receiver answered 400",
    )  # fmt: skip
    assert outbox.execute("SELECT webhook_disabled_at FROM account").fetchone() == (None,)


def test_delays_grow_and_have_bounded_jitter() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for attempt, delay_s in enumerate(RETRY_AFTER_S, start=1):
        early, late = retry_at(attempt, now, 0), retry_at(attempt, now, 0.999)
        assert early is not None
        assert late is not None
        assert early - now == timedelta(seconds=delay_s)
        assert early < late < now + timedelta(seconds=delay_s * 1.2)
    assert retry_at(len(RETRY_AFTER_S) + 1, now, 0) is None


def test_both_secrets_sign_while_one_replaces_the_other(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    new = "whsec_" + "bmV3IHNlY3JldCBvZiBhIHRlc3QsIHNlY3JldD8="
    outbox.execute("UPDATE account SET webhook_secret = %s", (stored(f"{new} {SECRET}"),))
    receiver.secrets = (SECRET, new)
    (done,) = deliver_due(outbox, WAYS, clock)
    assert done.outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("webhook_url", None, "the account has no webhook in force"),
        ("webhook_secret", None, "the account has no webhook in force"),
        ("webhook_secret", "secret", "a webhook secret begins with whsec_;"),
        ("webhook_secret", f"{SECRET} more", "a webhook secret begins with whsec_;"),
        ("webhook_secret", "whsec_", "a webhook secret is 24 to 64 bytes in base64, not 0;"),
        ("webhook_secret", "whsec_c2hvcnQ=", "a webhook secret is 24 to 64 bytes in base64, not"),
    ],
)
def test_an_account_that_cannot_be_told_ends_the_event(
    outbox: Connection, receiver: Receiver, clock: Clock, column: str, value: str | None, why: str
) -> None:
    outbox.execute(f"UPDATE account SET {column} = %s", (None if value is None else stored(value),))
    (done,) = deliver_due(outbox, WAYS, clock)
    assert done.outcome is Outcome.GIVEN_UP
    assert done.why.startswith(why)
    assert receiver.ids == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Vault([b"k" * 32]).encrypt(SECRET.encode(), secret_row("acme")), "is under master key"),
        (stored(SECRET, "other"), "is not what was stored there"),
        (b"", "is not what was stored there"),
        (SECRET.encode(), "is not what was stored there"),
    ],
    ids=["another master key", "of another account", "empty", "not encrypted"],
)
def test_a_secret_that_does_not_decrypt_is_waited_for(
    outbox: Connection, receiver: Receiver, clock: Clock, value: bytes, why: str
) -> None:
    """Somebody can mend it: the event is not given up, and nothing is sent without a signature."""
    (good,) = outbox.execute("SELECT webhook_secret FROM account").fetchone() or (None,)
    outbox.execute("UPDATE account SET webhook_secret = %s", (value,))
    (done,) = deliver_due(outbox, WAYS, clock)
    assert (done.outcome, receiver.ids) == (Outcome.RETRY, [])
    assert why in done.why
    assert SECRET not in done.why
    outbox.execute("UPDATE account SET webhook_secret = %s", (good,))
    outbox.execute("UPDATE alert_outbox SET next_try_at = %s", (clock(),))
    (done,) = deliver_due(outbox, WAYS, clock)
    assert done.outcome is Outcome.DELIVERED


def test_a_receiver_that_is_silent_ends_at_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(SendFailedError, match="timed out"):
            post(url, {"content-length": "0"}, b"", timeout_s=0.2, allow_private=True)


def test_a_receiver_that_drips_ends_at_the_time_out_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.settimeout(5)

        def drip() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                try:
                    for _ in range(50):
                        accepted.sendall(b"x")
                        stop.wait(0.05)
                except OSError:
                    return

        stop = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(SendFailedError, match="timed out"):
            post(url, {"content-length": "0"}, b"", timeout_s=0.3, allow_private=True)
        stop.set()
        thread.join()


def test_a_silent_receiver_does_not_hold_up_the_others(
    outbox: Connection, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver_module, "TIMEOUT_S", 1)
    outbox.execute("""
        INSERT INTO account (account_id, name, country, currency, timezone, webhook_url,
                             webhook_secret)
        SELECT 'other', name, country, currency, timezone, webhook_url, NULL FROM account
    """)
    set_webhook(outbox, VAULT, "other", receiver.url, SECRET, allow_private=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        outbox.execute("UPDATE account SET webhook_url = %s WHERE account_id = 'acme'", (url,))
        for percent in range(20):
            enqueue(outbox, replace(an_alert(percent), account="other"), clock())
        done = deliver_due(outbox, WAYS, clock)
    assert [delivery.outcome for delivery in done] == [Outcome.DELIVERED] * 20 + [Outcome.RETRY]
    assert (len(receiver.bodies), done[-1].why) == (20, "timed out")


def test_no_more_than_the_limit_is_claimed(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    for percent in range(40):
        enqueue(outbox, an_alert(percent), clock())
    assert len(deliver_due(outbox, WAYS, clock, limit=25)) == 25
    assert len(receiver.ids) == sum(attempts == 1 for attempts in state(outbox, "attempts")) == 25


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://127.0.0.1:8443/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://10.0.0.8/",
        "https://100.64.0.1/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "https://localhost/",
        "http://customer.example/",
        "ftp://customer.example/",
        "https://user:word@customer.example/",
        "https:///nowhere",
        "customer.example/hooks",
    ],
)
def test_our_own_network_is_out_of_reach(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        post(url, {}, b"", timeout_s=2)


def test_a_name_is_resolved_once_and_every_address_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([["93.184.216.34", "127.0.0.1"], ["93.184.216.34"]])
    asked = count()

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        next(asked)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(TargetRefusedError, match="which is not on the public internet"):
        post("https://customer.example/", {}, b"", timeout_s=2)
    assert next(asked) == 1


def test_public_addresses_are_public() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")
    assert is_public("64:ff9b::5db8:d822")


def test_the_default_refuses_the_receiver_and_keeps_trying(
    outbox: Connection, receiver: Receiver, clock: Clock
) -> None:
    (done,) = deliver_due(outbox, Ways(VAULT), clock)
    assert (done.outcome, receiver.ids) == (Outcome.RETRY, [])
    assert done.why.startswith("the address must begin with https://, not http://, unless")


def test_a_name_nobody_knows_is_a_failure(outbox: Connection, clock: Clock) -> None:
    outbox.execute("UPDATE account SET webhook_url = 'https://nobody.invalid/'")
    (claimed,) = claim_due(outbox, clock())
    with pytest.raises(SendFailedError, match="cannot be resolved"):
        send("https://nobody.invalid/", claimed, [b"k" * 24], clock(), allow_private=False)
