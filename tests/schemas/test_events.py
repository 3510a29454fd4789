"""Hints and webhook secrets, there and back, and what is not one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Changed, decode_changed, encode_changed, webhook_keys


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**62), st.integers())
def test_a_hint_comes_back(scope: str, append_ms: int, at_ms: int) -> None:
    hint = Changed(scope, append_ms, at_ms)
    key, value = encode_changed(hint)
    assert key.decode() == scope
    assert decode_changed(value) == hint
    assert b"\n" not in value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b'"i-1"',
        b'{"v":2,"scope":"i-1","append_ms":1,"at_ms":1}',
        b'{"v":1,"scope":7,"append_ms":1,"at_ms":1}',
        b'{"v":1,"scope":"i-1","append_ms":1.0,"at_ms":1}',
        b'{"v":1,"scope":"i-1","append_ms":true,"at_ms":1}',
        b'{"v":1,"scope":"i-1","append_ms":1}',
    ],
)
def test_what_is_no_hint_is_passed_over(value: bytes) -> None:
    assert decode_changed(value) is None


@given(st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2))
def test_secrets_are_prefix_and_base64(keys: list[bytes]) -> None:
    text = " ".join("whsec_" + base64.b64encode(key).decode() for key in keys)
    assert webhook_keys(text) == keys


@pytest.mark.parametrize("text", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_é"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        webhook_keys(text)
