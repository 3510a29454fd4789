"""Signed heads: what is believed of their lines, and what the file survives."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas.errors import ConfigError, DependencyError
from schemas.serial import canonical
from sinks import audit_heads
from sinks.audit_heads import Head, Signer, append, line, marks, new_key, parse_keys, read

LEDGER = "00000000-0000-4000-8000-000000000001"
OURS = Signer(parse_keys(new_key(), "a test"))
OTHERS = Signer(parse_keys(new_key(), "a test"))


def head(number: int, recovered: str = "", signer: Signer = OURS) -> str:
    at = datetime(2026, 11, number % 28 + 1, tzinfo=UTC)
    return line(signer.sign(Head(LEDGER, number, f"{number:064x}", at, recovered)))


def edited(text: str, **values: str) -> str:
    return json.dumps({**json.loads(text), **values})


def test_anybody_can_verify_a_line() -> None:
    """With nothing of ours: the JSON without its signature, in RFC 8785 form."""
    body = json.loads(head(7))
    signature = audit_heads._bytes(body.pop("signature"))
    key = Ed25519PublicKey.from_public_bytes(audit_heads._bytes(body["key"]))
    key.verify(signature, canonical(body))
    assert body["number"] == "7"
    assert body["key"] == OURS.public[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edited(head(7), number="8"), "does not hold"),
        (edited(head(7), digest="0" * 64), "does not hold"),
        (edited(head(7), at="2026-01-01T00:00:00Z"), "does not hold"),
        (edited(head(7), recovered="by hand"), "does not hold"),
        (edited(head(7), key=OTHERS.public[0]), "does not hold"),
        (edited(head(7), signature=json.loads(head(8))["signature"]), "does not hold"),
        (edited(head(7), signature="no base64"), "does not hold"),
        (edited(head(7), more="x"), "does not hold"),
        ("{", "does not hold"),
        ("[]", "does not hold"),
        (head(7, signer=OTHERS), "not ours"),
        (line(OURS.sign(Head("other", 7, "", datetime.now(UTC)))), "of ledger other"),
    ],
)
def test_a_line_that_is_not_believed(text: str, said: str) -> None:
    found, findings = marks([head(1), text], LEDGER, OURS.public, "f")
    assert [mark.number for mark in found] == [1]
    assert [said in finding.what for finding in findings] == [True]
    assert findings[0].what.startswith("f, line 2: ")


def test_without_a_key_each_line_vouches_for_itself() -> None:
    found, findings = marks([head(1), head(2, signer=OTHERS)], LEDGER, [], "f")
    assert [mark.number for mark in found] == [1, 2]
    assert findings == []
    assert audit_heads.keys_of([head(1), head(2, signer=OTHERS)]) == [
        *OURS.public, *OTHERS.public,
    ]  # fmt: skip


def test_the_first_key_signs_and_all_are_believed() -> None:
    old, new = new_key(), new_key()
    before = Signer(parse_keys(old, "f"))
    after = Signer(parse_keys(f"# since May\n{new}\n\n{old}\n", "f"))
    assert json.loads(head(2, signer=after))["key"] == after.public[0] != before.public[0]
    lines = [head(1, signer=before), head(2, signer=after)]
    assert len(marks(lines, LEDGER, after.public, "f")[0]) == 2


def test_what_was_lost_in_a_restore_is_not_held_against_the_chain() -> None:
    lines = [head(10), head(20), head(12, recovered="disk lost"), head(15)]
    found, findings = marks(lines, LEDGER, OURS.public, "f")
    assert [mark.number for mark in found] == [10, 12, 15]
    assert findings == []
    assert [one.recovered for one in audit_heads.recoveries(lines)] == ["disk lost"]


def test_the_file_is_added_to_and_a_torn_line_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "heads.jsonl"
    assert read(path) == []
    append(path, head(1))
    with path.open("a") as file:
        file.write(head(2)[:40])
    assert read(path) == [head(1)]
    append(path, head(3))
    assert read(path) == [head(1), head(3)]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DependencyError, match="RACKMETER_AUDIT_HEADS"):
        append(tmp_path / "folder", head(1))


@pytest.mark.parametrize("text", ["", "# nothing\n", "abc", "AAAA"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no audit key: `rackmeter audit key --to FILE`"):
        parse_keys(text, "audit.key")


def test_a_head_is_not_changed_by_signing() -> None:
    plain = Head(LEDGER, 1, "", datetime(2026, 11, 1, tzinfo=UTC))
    signed = OURS.sign(plain)
    assert replace(signed, key="", signature="") == plain
