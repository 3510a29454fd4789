"""Encryption of secrets: what goes in comes out, in its own row only, and nothing shows it."""

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, DifferenceError, RackmeterError
from sinks.vault import (
    FINGERPRINT_BYTES,
    Row,
    Vault,
    fingerprint,
    fingerprint_of,
    new_master_key,
    parse_master_keys,
)
from tests.vault import MASTER_KEY, VAULT

ROW = Row("agent_key", "k1", "s1")
OTHER = b"\xff" * 32

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
rows = st.builds(Row, st.sampled_from(["agent_key", "account"]), names, names)


@given(st.binary(max_size=200), rows)
def test_what_was_encrypted_decrypts_in_its_row(secret: bytes, row: Row) -> None:
    stored = VAULT.encrypt(secret, row)
    assert VAULT.decrypt(stored, row) == secret
    assert VAULT.encrypt(secret, row) != stored
    assert len(secret) < 4 or secret not in stored
    assert fingerprint_of(stored) == VAULT.current


@given(st.binary(max_size=40), rows, st.data())
def test_any_flipped_bit_is_refused(secret: bytes, row: Row, data: st.DataObject) -> None:
    stored = bytearray(VAULT.encrypt(secret, row))
    bit = data.draw(st.integers(0, 8 * len(stored) - 1))
    stored[bit // 8] ^= 1 << bit % 8
    in_fingerprint = 1 <= bit // 8 <= FINGERPRINT_BYTES
    with pytest.raises(ConfigError if in_fingerprint else DifferenceError):
        VAULT.decrypt(bytes(stored), row)


@given(st.binary(max_size=40), rows, st.data())
def test_whatever_is_cut_off_or_added_is_refused(
    secret: bytes, row: Row, data: st.DataObject
) -> None:
    stored = VAULT.encrypt(secret, row)
    for changed in (stored[: data.draw(st.integers(0, len(stored) - 1))], stored + b"\0"):
        with pytest.raises(RackmeterError):
            VAULT.decrypt(changed, row)


@given(rows, rows)
def test_another_row_is_refused(row: Row, other: Row) -> None:
    stored = VAULT.encrypt(b"secret", row)
    if row == other:
        assert VAULT.decrypt(stored, other) == b"secret"
    else:
        with pytest.raises(DifferenceError):
            VAULT.decrypt(stored, other)


@pytest.mark.parametrize(
    "other",
    [Row("account", "k1", "s1"), Row("agent_key", "k2", "s1"), Row("agent_key", "k1s", "1")],
)
def test_each_part_of_a_row_counts(other: Row) -> None:
    with pytest.raises(DifferenceError):
        VAULT.decrypt(VAULT.encrypt(b"secret", ROW), other)


def test_a_header_cannot_be_moved_to_another_key() -> None:
    both = Vault([OTHER, MASTER_KEY])
    stored = VAULT.encrypt(b"secret", ROW)
    moved = stored[:1] + bytes.fromhex(fingerprint(OTHER)) + stored[1 + FINGERPRINT_BYTES :]
    with pytest.raises(DifferenceError):
        both.decrypt(moved, ROW)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = VAULT.encrypt(b"old", ROW), Vault([OTHER]).encrypt(b"new", ROW)
    both = Vault([OTHER, MASTER_KEY, OTHER])
    assert (both.decrypt(old, ROW), both.decrypt(new, ROW)) == (b"old", b"new")
    assert fingerprint_of(both.encrypt(b"x", ROW)) == both.current == fingerprint(OTHER)
    with pytest.raises(ConfigError, match=rf"master key {fingerprint(OTHER)}, and only [0-9a-f]+"):
        VAULT.decrypt(new, ROW)


def test_nothing_shows_a_secret_or_a_key() -> None:
    secret, stored = b"a secret nobody may see", bytearray(VAULT.encrypt(b"other", ROW))
    stored[-1] ^= 1
    shown = [repr(VAULT), str(VAULT)]
    for box in (bytes(stored), Vault([OTHER]).encrypt(secret, ROW), b"", secret):
        with pytest.raises(RackmeterError) as caught:
            VAULT.decrypt(box, ROW)
        shown += traceback.format_exception(caught.value)
    for text in shown:
        assert "nobody may see" not in text
        for hidden in (MASTER_KEY, OTHER):
            assert hidden.hex() not in text
            assert base64.b64encode(hidden).decode() not in text


@pytest.mark.parametrize(
    "text",
    [
        MASTER_KEY.hex(),
        MASTER_KEY.hex().upper(),
        base64.b64encode(MASTER_KEY).decode(),
        f"\n# the key of 2026\n  {MASTER_KEY.hex()}  \r\n\n",
    ],
)
def test_a_master_key_is_hex_or_base64(text: str) -> None:
    assert parse_master_keys(text, "file") == [MASTER_KEY]


def test_a_file_may_hold_several() -> None:
    lines = [new_master_key() for _ in range(3)]
    keys = parse_master_keys("\n".join(lines), "file")
    assert [base64.b64encode(key).decode() for key in keys] == lines
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file holds no master key"),
        ("# nothing", "file holds no master key"),
        (MASTER_KEY.hex()[:-2], "file, line 1 is no master key"),
        (f"{MASTER_KEY.hex()}\nhunter2hunter2", "file, line 2 is no master key"),
        (base64.b64encode(MASTER_KEY + b"x").decode(), "file, line 1 is no master key"),
        ("ünïcode", "file, line 1 is no master key"),
    ],
)
def test_a_bad_master_key_is_named_by_its_line_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_master_keys(text, "file")
    assert not text.split() or text.rsplit(maxsplit=1)[-1] not in str(caught.value)
