"""Signing keys on a real PostgreSQL: loaded, rotated, revoked, moved to another master key."""

import base64
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.envelope import NEVER_MS, Key
from schemas.errors import ConfigError, DifferenceError, RefusedError
from sinks.database import Connection, connect
from sinks.keys import register, registered, revoke, rotate
from sinks.known_keys import KnownKeys, load_keys
from sinks.secrets import in_use, rewrap
from sinks.vault import Row, Vault
from sinks.webhooks import secret_row, set_webhook
from tests.fix_billing import SECRET
from tests.vault import MASTER_KEY, VAULT

NOW = 1_800_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
NEW_MASTER = b"n" * 32


def a_key(kid: str, at_ms: int = NOW, server: str = "s1") -> Key:
    return Key(kid, server, f"secret of {kid}, which is long".encode(), at_ms)


def ends(conn: Connection) -> dict[str, int | None]:
    return {key.kid: key.valid_to_ms for key in registered(conn, NOW)}


def states(conn: Connection, now_ms: int) -> dict[str, str]:
    return {key.kid: key.state for key in registered(conn, now_ms)}


def dump(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute("SELECT * FROM agent_key ORDER BY kid").fetchall()


# -- loading ---------------------------------------------------------------------------------------


def test_keys_and_when_a_server_was_registered(billing: Connection) -> None:
    """Its oldest key says since when a server is known, whatever became of that key."""
    keys = [
        replace(a_key("k1", 50), valid_to_ms=99), a_key("k2", 70),
        replace(a_key("k3", server="s2"), valid_from_ms=0),
    ]  # fmt: skip
    register(billing, VAULT, keys)
    keyring, since = load_keys(billing, VAULT)
    assert [keyring.get(key.kid) for key in keys] == keys
    assert since == {"s1": 50, "s2": 0}


def test_keys_are_looked_up_by_any_name(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1")])
    known = KnownKeys(VAULT)
    assert not known.look_up(billing, {"stranger", "with\0nul", "�"})
    assert not known.look_up(billing, set())
    assert known.look_up(billing, {"k1", "stranger"})
    assert not known.look_up(billing, {"k1"}), "it is known by now"
    assert known.snapshot()[0].get("k1") == a_key("k1")


CHANGES: dict[str, Callable[[Connection], object]] = {
    "a server more": lambda conn: register(conn, VAULT, [a_key("k9", server="s9")]),
    "rotated": lambda conn: rotate(conn, VAULT, a_key("k9"), DAY),
    "ended": lambda conn: revoke(conn, "k1", NOW - 5),
    "another master key": lambda conn: rewrap(conn, Vault([NEW_MASTER, MASTER_KEY])),
    "two rows": lambda conn: conn.execute("UPDATE agent_key SET valid_to_ms = 7"),
    "one gone": lambda conn: conn.execute("DELETE FROM agent_key WHERE kid = 'k2'"),
    "all gone": lambda conn: conn.execute("DELETE FROM agent_key"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_known_after_the_next_look(
    billing: Connection, change: Callable[[Connection], object]
) -> None:
    """As if all were loaded anew; when nothing has changed, nothing is."""
    both = Vault([MASTER_KEY, NEW_MASTER])
    register(billing, VAULT, [a_key("k1", NOW - DAY), a_key("k2", server="s2")])
    known = KnownKeys(both)
    assert known.refresh(billing)
    assert not known.refresh(billing)
    change(billing)
    assert known.refresh(billing)
    assert not known.refresh(billing)
    keyring, since = known.snapshot()
    fresh, fresh_since = load_keys(billing, both)
    assert since == fresh_since
    for kid in ("k1", "k2", "k9"):
        assert keyring.get(kid) == fresh.get(kid)


def test_only_what_has_changed_is_decrypted(billing: Connection) -> None:
    register(billing, VAULT, [a_key(f"k{n}", NOW - DAY, f"s{n}") for n in range(9)])
    asked: list[str] = []

    class Watched(Vault):
        def decrypt(self, stored: bytes, row: Row) -> bytes:
            asked.append(row.name)
            return super().decrypt(stored, row)

    known = KnownKeys(Watched([MASTER_KEY]))
    known.refresh(billing)
    assert len(asked) == 9
    revoke(billing, "k3", NOW)
    rotate(billing, VAULT, a_key("new", server="s5"), 0)
    known.refresh(billing)
    assert sorted(asked[9:]) == ["k3", "k5", "new"]


def test_a_look_that_failed_is_made_again(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1"), a_key("k2", server="s2")])
    known = KnownKeys(VAULT)
    known.refresh(billing)
    billing.execute("UPDATE agent_key SET secret = 'x' WHERE kid = 'k2'")
    for _ in range(2):
        with pytest.raises(DifferenceError, match="secret of agent_key k2 is not what was stored"):
            known.refresh(billing)


def test_a_server_is_registered_once(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1")])
    before = dump(billing)
    with pytest.raises(RefusedError, match="s1 is registered already: `rackmeter server rotate-k"):
        register(billing, VAULT, [a_key("k9", server="s9"), a_key("k2")])
    assert dump(billing) == before


# -- what a thief or a mistake meets ---------------------------------------------------------------

LIES = {
    "two rows swapped": """
        UPDATE agent_key a SET secret = b.secret FROM agent_key b WHERE a.kid <> b.kid
    """,
    "given to another server": "UPDATE agent_key SET server_id = 's2' WHERE kid = 'k1'",
    "named otherwise": "UPDATE agent_key SET kid = 'k9' WHERE kid = 'k1'",
    "one bit": "UPDATE agent_key SET secret = set_bit(secret, 200, 1 - get_bit(secret, 200))",
    "cut off": "UPDATE agent_key SET secret = substr(secret, 1, 20)",
    "not encrypted": r"UPDATE agent_key SET secret = '\x78787878787878787878787878787878'",
    "empty": r"UPDATE agent_key SET secret = '\x'",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_changed_row_is_found_and_named(billing: Connection, lie: str) -> None:
    register(billing, VAULT, [a_key("k1"), a_key("k2", server="s2")])
    assert billing.execute(lie).rowcount
    with pytest.raises(DifferenceError, match=r"secret of agent_key k\d is not what was stored"):
        load_keys(billing, VAULT)


def test_another_master_key_neither_reads_nor_writes(billing: Connection) -> None:
    stray = Vault([NEW_MASTER])
    register(billing, VAULT, [a_key("k1", NOW - DAY)])
    with pytest.raises(ConfigError, match=f"k1 is under master key {VAULT.current}, and only"):
        load_keys(billing, stray)
    before = dump(billing)
    for write in (
        lambda: register(billing, stray, [a_key("k2", server="s2")]),
        lambda: rotate(billing, stray, a_key("k2"), HOUR),
    ):
        with pytest.raises(ConfigError, match="nothing is written with another"):
            write()
    assert dump(billing) == before


def test_the_database_alone_holds_no_usable_secret(customer: Connection) -> None:
    """Not in any file of it: tables, what is out of line, indexes, and rows that are dead."""
    secret = secrets.token_bytes(32)
    webhook = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    register(customer, VAULT, [Key("k1", "s1", secret, NOW - DAY)])
    rotate(customer, VAULT, Key("k2", "s1", secret, NOW), HOUR)
    set_webhook(customer, VAULT, "acme", "https://acme.example/", webhook)
    rewrap(customer, Vault([NEW_MASTER, MASTER_KEY]))
    customer.execute("CHECKPOINT")
    content = b"".join(
        bytes(row[0])
        for row in customer.execute(
            "SELECT pg_read_binary_file(pg_relation_filepath(oid)) FROM pg_class"
            " WHERE relkind IN ('r', 'i', 't', 'S', 'm') AND oid >= 16384"
        )
    )
    assert b"k1" in content, "these are the files of the tables"
    assert len(content) > 100_000
    for hidden in (secret, base64.b64decode(webhook[6:]), MASTER_KEY, NEW_MASTER):
        for shape in (hidden, hidden.hex().encode(), base64.b64encode(hidden)[:40]):
            assert shape not in content
    assert b"whsec_" not in content


# -- rotating --------------------------------------------------------------------------------------


def test_a_rotation_ends_the_old_key_after_the_overlap(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1", NOW - 9 * DAY), a_key("other", server="s2")])
    assert rotate(billing, VAULT, a_key("k2"), DAY) == {"k1": NOW + DAY}
    assert ends(billing) == {"k1": NOW + DAY, "k2": None, "other": None}
    keyring, since = load_keys(billing, VAULT)
    assert keyring.get("k2") == a_key("k2")
    assert since["s1"] == NOW - 9 * DAY
    assert states(billing, NOW) == {"k1": "valid", "k2": "current", "other": "current"}
    assert states(billing, NOW + DAY - 1)["k1"] == "valid"
    assert states(billing, NOW + DAY)["k1"] == "ended"
    assert states(billing, NOW - 1) == {"k1": "current", "k2": "future", "other": "future"}


def test_run_twice_it_refuses_and_changes_nothing(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1", NOW - 9 * DAY)])
    rotate(billing, VAULT, a_key("k2"), DAY)
    before = dump(billing)
    for later in (0, 1, DAY - 1):
        with pytest.raises(RefusedError, match=r"valid only from 2027-01-15 08:00:00 UTC: noth"):
            rotate(billing, VAULT, a_key("k3", NOW + later), DAY)
    with pytest.raises(RefusedError, match="--again"):
        rotate(billing, VAULT, a_key("k3", NOW + HOUR - 1), 0)
    assert dump(billing) == before
    rotate(billing, VAULT, a_key("k3", NOW + DAY), DAY)
    assert ends(billing) == {"k1": NOW + DAY, "k2": NOW + 2 * DAY, "k3": None}


def test_an_end_that_was_set_is_neither_brought_nearer_nor_put_off(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1", NOW - 9 * DAY)])
    rotate(billing, VAULT, a_key("k2"), 7 * DAY)
    assert rotate(billing, VAULT, a_key("k3", NOW + 1), HOUR, again=True) == {
        "k1": NOW + 7 * DAY, "k2": NOW + 1 + HOUR,
    }  # fmt: skip
    rotate(billing, VAULT, a_key("k4", NOW + 2), 30 * DAY, again=True)
    assert ends(billing) == {
        "k1": NOW + 7 * DAY, "k2": NOW + 1 + HOUR, "k3": NOW + 2 + 30 * DAY, "k4": None,
    }  # fmt: skip


def test_without_an_overlap_the_old_key_ends_at_once(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1", NOW - 9 * DAY)])
    assert rotate(billing, VAULT, a_key("k2"), 0) == {}
    assert states(billing, NOW) == {"k1": "ended", "k2": "current"}


def test_a_server_that_nobody_registered_is_not_rotated(billing: Connection) -> None:
    with pytest.raises(RefusedError, match="no server s1: `rackmeter server add s1`"):
        rotate(billing, VAULT, a_key("k1"), DAY, again=True)


def test_two_rotations_at_once_are_one_and_a_refusal(billing: Connection, billing_url: str) -> None:
    register(billing, VAULT, [a_key("k0", NOW - 9 * DAY)])
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def turn(kid: str) -> None:
        with connect(billing_url, autocommit=True) as conn:
            start.wait()
            try:
                rotate(conn, VAULT, a_key(kid), DAY)
                outcomes.append("done")
            except RefusedError:
                outcomes.append("refused")

    threads = [threading.Thread(target=turn, args=(f"k{n}",)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused", "refused", "refused"]
    assert sorted(ends(billing).values(), key=str) == [NOW + DAY, None]


# -- revoking --------------------------------------------------------------------------------------


def test_a_revoked_key_ends_at_once_and_stays(billing: Connection) -> None:
    register(billing, VAULT, [a_key("k1", NOW - 9 * DAY)])
    rotate(billing, VAULT, a_key("k2"), DAY)
    assert revoke(billing, "k1", NOW + 5) == ("s1", NOW + 5, True)
    assert revoke(billing, "k1", NOW + 9) == ("s1", NOW + 5, True)
    assert revoke(billing, "k2", NOW + 10) == ("s1", NOW + 10, False)
    keyring, _ = load_keys(billing, VAULT)
    assert [keyring.get(kid) is not None for kid in ("k1", "k2")] == [True, True]
    with pytest.raises(RefusedError, match="no key k9"):
        revoke(billing, "k9", NOW)
    rotate(billing, VAULT, a_key("k3", NOW + DAY), DAY)
    assert states(billing, NOW + DAY) == {"k1": "ended", "k2": "ended", "k3": "current"}


def test_ends_fit_what_the_table_says_of_no_end(billing: Connection) -> None:
    billing.execute(r"INSERT INTO agent_key (kid, server_id, secret) VALUES ('k', 's', '\x')")
    row = billing.execute("SELECT valid_to_ms FROM agent_key").fetchone()
    assert row == (NEVER_MS,)


# -- master keys -----------------------------------------------------------------------------------


def test_rewrapping_retires_the_old_master_key(customer: Connection) -> None:
    keys = [a_key("k1"), a_key("k2", server="s2")]
    register(customer, VAULT, keys)
    both, new = Vault([NEW_MASTER, MASTER_KEY]), Vault([NEW_MASTER])
    assert in_use(customer) == {VAULT.current: 3}
    register(customer, both, [a_key("k3", server="s3")])
    assert in_use(customer) == {VAULT.current: 3, new.current: 1}
    with pytest.raises(ConfigError, match=f"is under master key {VAULT.current}"):
        rewrap(customer, new)
    assert rewrap(customer, both) == (3, 4)
    assert in_use(customer) == {new.current: 4}
    before = dump(customer)
    assert rewrap(customer, both) == (0, 4)
    assert dump(customer) == before
    keyring, _ = load_keys(customer, new)
    assert [keyring.get(key.kid) for key in keys] == keys
    row = customer.execute("SELECT webhook_secret FROM account").fetchone()
    assert row is not None
    assert new.decrypt(row[0], secret_row("acme")) == SECRET.encode()


def test_one_bad_secret_stops_the_rewrapping_of_all(customer: Connection) -> None:
    register(customer, VAULT, [a_key("k1"), a_key("k2", server="s2")])
    customer.execute("UPDATE account SET webhook_secret = substr(webhook_secret, 1, 40)")
    before = dump(customer)
    with pytest.raises(DifferenceError, match="secret of account acme"):
        rewrap(customer, Vault([NEW_MASTER, MASTER_KEY]))
    assert dump(customer) == before
