"""The outbox: entered once, claimed by one, found again when a lease has run out."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sinks.claims import (
    LEASE,
    MAIL_LEASE,
    RECEIVER_MAX,
    Claimed,
    claim_due,
    disable_endpoint,
    record_delivered,
    record_failed,
    record_retry,
)
from sinks.database import Connection, connect
from sinks.outbox import (
    Alert,
    Channel,
    Recipient,
    announcements,
    enqueue,
    enqueue_all,
    latencies,
)
from sinks.webhooks import secret_row
from tests.fix_billing import SECRET, START
from tests.vault import VAULT

NOW = START + timedelta(days=3)
URL = "https://customer.example/hooks"
STORED = VAULT.encrypt(SECRET.encode(), secret_row("acme"))


def an_alert(percent: int = 80, kind: str = "crossed") -> Alert:
    threshold = f"i-1/traffic/{percent}%"
    body = {"type": "usage.threshold.crossed", "data": {"text": "Grüße, 80 %"}}
    return Alert("acme", "i-1", START, threshold, "v1/20", kind, body, NOW)


def of_scope(number: int) -> Alert:
    """An alert of a scope of its own."""
    return replace(an_alert(), scope=f"s-{number}", threshold=f"s-{number}/traffic/80%")


def put_scopes(conn: Connection, count: int) -> None:
    """Scopes of acme, and an alert of each."""
    for number in range(count):
        conn.execute("INSERT INTO rating_scope VALUES (%s, 'acme')", (f"s-{number}",))
    assert len(enqueue_all(conn, [of_scope(number) for number in range(count)], NOW)) == count


def put_scope(conn: Connection, url: str | None = URL) -> None:
    conn.execute(
        "INSERT INTO account VALUES ('acme', 'Acme', '{}', 'DE', '', 'EUR', 'UTC', %s, %s)",
        (url, STORED),
    )
    conn.execute("INSERT INTO rating_scope VALUES ('i-1', 'acme')")


def state(conn: Connection, column: str) -> list[object]:
    query = f"SELECT {column} FROM alert_outbox ORDER BY alert_id"
    return [row[0] for row in conn.execute(query)]


def test_the_same_crossing_is_entered_once(billing: Connection) -> None:
    put_scope(billing)
    assert enqueue(billing, an_alert(), NOW)
    assert not enqueue(billing, an_alert(), NOW + timedelta(hours=1))
    assert enqueue(billing, an_alert(100), NOW)
    assert enqueue(billing, an_alert(kind="cleared"), NOW)
    assert state(billing, "created_at") == [NOW] * 3
    found = announcements(billing, [("i-1", START)])["i-1", START]
    assert sorted(alert.threshold for alert in found) == ["i-1/traffic/100%", "i-1/traffic/80%"]


def test_an_identity_is_the_crossing_and_nothing_else() -> None:
    one, other = an_alert(), an_alert()
    other.body["data"] = {}
    assert one.alert_id == other.alert_id == "msg_" + one.alert_id[4:]
    assert an_alert(100).alert_id != one.alert_id != an_alert(kind="cleared").alert_id


def test_parallel_claimers_share_out_what_is_due(billing: Connection, billing_url: str) -> None:
    put_scope(billing)
    put_scopes(billing, 40)
    taken: list[Claimed] = []

    def claim() -> None:
        with connect(billing_url, autocommit=True) as conn:
            while found := claim_due(conn, NOW, 3):
                taken.extend(found)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed.alert_id for claimed in taken) == state(billing, "alert_id")
    assert {claimed.attempt for claimed in taken} == {1}


def test_a_lease_keeps_others_away_until_it_runs_out(billing: Connection) -> None:
    put_scope(billing)
    enqueue(billing, an_alert(), NOW)
    (first,) = claim_due(billing, NOW)
    assert (first.url, first.secret, first.attempt) == (URL, STORED, 1)
    assert claim_due(billing, NOW + LEASE - timedelta(seconds=1)) == ()
    (second,) = claim_due(billing, NOW + LEASE)
    assert (second.alert_id, second.attempt) == (first.alert_id, 2)


def test_a_mail_is_leased_for_as_long_as_it_may_take(billing: Connection) -> None:
    put_scope(billing)
    enqueue(billing, an_alert(), NOW, [Recipient(Channel.MAIL, "ops@example.com")])
    (first,) = claim_due(billing, NOW)
    assert first.channel is Channel.MAIL
    assert claim_due(billing, NOW + MAIL_LEASE - timedelta(seconds=1)) == ()
    assert claim_due(billing, NOW + MAIL_LEASE)


def test_whoever_lost_the_lease_decides_nothing(billing: Connection) -> None:
    put_scope(billing)
    enqueue(billing, an_alert(), NOW)
    (first,) = claim_due(billing, NOW)
    (second,) = claim_due(billing, NOW + LEASE)
    record_failed(billing, first, "too late")
    record_retry(billing, first, NOW + timedelta(days=9), "too late")
    assert (state(billing, "failed"), state(billing, "last_error")) == ([None], [None])
    record_delivered(billing, [(second, NOW + timedelta(seconds=70))])
    record_retry(billing, second, NOW + timedelta(days=9), "after delivery")
    assert state(billing, "last_error") == [None]
    assert claim_due(billing, NOW + timedelta(days=30)) == ()


def test_a_delivery_counts_even_after_the_lease(billing: Connection) -> None:
    put_scope(billing)
    enqueue(billing, an_alert(), NOW)
    (first,) = claim_due(billing, NOW)
    (second,) = claim_due(billing, NOW + LEASE)
    record_failed(billing, second, "ten tries")
    record_delivered(billing, [(first, NOW + timedelta(seconds=65))])
    record_delivered(billing, [(second, NOW + timedelta(seconds=90))])
    assert state(billing, "failed") == [None]
    assert latencies(billing) == [65_000]
    assert latencies(billing, since=NOW + timedelta(seconds=1)) == []


def test_a_disabled_endpoint_is_not_handed_out(billing: Connection) -> None:
    put_scope(billing)
    enqueue(billing, an_alert(), NOW)
    (claimed,) = claim_due(billing, NOW)
    disable_endpoint(billing, claimed, datetime.now(UTC))
    (again,) = claim_due(billing, NOW + LEASE)
    assert again.url is None


def test_many_are_entered_at_once_and_each_once(billing: Connection) -> None:
    put_scope(billing)
    put_scopes(billing, 3)
    billing.execute("UPDATE account SET mail_to = '{a@b.example}'")
    rows = [of_scope(1), an_alert(), of_scope(2), an_alert()]
    assert enqueue_all(billing, rows, NOW) == {an_alert().alert_id}
    found = billing.execute(
        "SELECT scope_id, channel, copy, body FROM alert_outbox WHERE scope_id = 'i-1'"
        " ORDER BY number"
    ).fetchall()
    assert found == [("i-1", "webhook", 0, an_alert().body), ("i-1", "mail", 1, an_alert().body)]
    assert enqueue_all(billing, [], NOW) == set()


def test_of_one_scope_the_next_waits_for_the_first_try_of_the_one_before(
    billing: Connection,
) -> None:
    """What has failed once holds up nothing: a receiver may never take it."""
    put_scope(billing)
    for percent in (50, 80, 100):
        enqueue(billing, an_alert(percent), NOW)
    (first,) = claim_due(billing, NOW, 9)
    assert first.alert_id == an_alert(50).alert_id
    assert claim_due(billing, NOW, 9, [first]) == ()
    record_retry(billing, first, NOW + timedelta(hours=1), "the receiver answered 500")
    (second,) = claim_due(billing, NOW, 9)
    assert second.alert_id == an_alert(80).alert_id
    record_delivered(billing, [(second, NOW)])
    (third,) = claim_due(billing, NOW, 9)
    assert third.alert_id == an_alert(100).alert_id


def test_one_receiver_has_not_more_than_its_share_under_way(billing: Connection) -> None:
    put_scope(billing)
    put_scopes(billing, 3 * RECEIVER_MAX)
    billing.execute("INSERT INTO account SELECT 'other', name, address, country, '', 'EUR', 'UTC',"
                    " webhook_url, webhook_secret FROM account")  # fmt: skip
    late = replace(an_alert(), account="other")
    enqueue(billing, late, NOW + timedelta(seconds=1))
    now = NOW + timedelta(seconds=2)
    taken = claim_due(billing, now, 99)
    assert [claimed.account for claimed in taken].count("acme") == RECEIVER_MAX
    assert late.alert_id in {claimed.alert_id for claimed in taken}
    assert claim_due(billing, now, 99, taken) == ()
    left = [claimed for claimed in taken if claimed.account == "acme"][3:]
    assert len(claim_due(billing, now, 99, left)) == 3
