"""Hints and webhook secrets, there and back, and what is not one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Changed, decode_changed, encode_changed, webhook_keys

HINTS = st.builds(
    Changed, st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**62), st.integers()
)


@given(st.lists(HINTS))
def test_hints_come_back(hints: list[Changed]) -> None:
    value = encode_changed(hints)
    assert decode_changed(value) == hints
    assert b"\n" not in value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b'"i-1"',
        b'{"v":1,"scope":"i-1","append_ms":1,"at_ms":1}',
        b'{"v":3,"changed":[["i-1",1,1]]}',
        b'{"v":2}',
        b'{"v":2,"changed":"i-1"}',
        b'{"v":2,"changed":["i-1"]}',
        b'{"v":2,"changed":[[7,1,1]]}',
        b'{"v":2,"changed":[["i-1",1.0,1]]}',
        b'{"v":2,"changed":[["i-1",true,1]]}',
        b'{"v":2,"changed":[["i-1",1]]}',
        b'{"v":2,"changed":[["i-1",1,1,1]]}',
    ],
)
def test_what_is_no_hint_is_passed_over(value: bytes) -> None:
    assert decode_changed(value) == []


def test_one_that_is_no_hint_takes_no_other_along() -> None:
    assert decode_changed(b'{"v":2,"changed":[["i-1"],["i-2",1,2]]}') == [Changed("i-2", 1, 2)]


@given(st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2))
def test_secrets_are_prefix_and_base64(keys: list[bytes]) -> None:
    text = " ".join("whsec_" + base64.b64encode(key).decode() for key in keys)
    assert webhook_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a webhook secret is missing"),
        ("secret", "a webhook secret begins with whsec_"),
        ("whsec_", "24 to 64 bytes in base64, not 0"),
        ("whsec_c2hvcnQ=", "24 to 64 bytes in base64, not 5"),
        ("whsec_" + "QUFB" * 22, "24 to 64 bytes in base64, not 66"),
        ("whsec_é", "is base64 after whsec_, and this is none"),
        ("whsec_c2hvcnQ", "is base64 after whsec_, and this is none"),
        ("whsec_" + "QUFB" * 8 + " more", "a webhook secret begins with whsec_"),
    ],
)
def test_what_is_no_secret_is_refused_with_how_to_make_one(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        webhook_keys(text)
    assert 'make one with: echo "whsec_$(openssl rand -base64 32)"' in str(refused.value)
    assert "QUFB" not in str(refused.value)
