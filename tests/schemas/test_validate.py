"""What a report is: bytes in, verdict and sentence out, one row for each rule of the wire."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from schemas.report import MESSAGE_BYTES_MAX, SERIES_MAX, VALUE_MAX, encode
from schemas.validate import DEPTH_MAX, SEQ_MAX, TIME_MS_MAX, Refusal, explain
from schemas.verdict import Verdict
from tests.schemas.messages import REPORT, fields, spelled

BODY = encode(REPORT)
TIME = f"an integer 0 … {TIME_MS_MAX}"
VALUES = f"value must be an array of 1 … {SERIES_MAX} integers 0 … {VALUE_MAX}"
METERS = f"an array of 1 … {SERIES_MAX} strings of 1 … 256 characters, no NUL, no lone surrogates"
RESOURCES = f"an array of 1 … {SERIES_MAX} strings of at most 256 characters, no NUL"
SERVER = "server must be a string of 1 … 256 characters, no control characters"


def one(value: Any) -> bytes:
    """A report of one series whose counter is spelled ``value``."""
    body = spelled(meter=["m"], resource=["r"], value=["?"])
    return body.replace(b'"?"', value)


MALFORMED = [
    # Not strict JSON: nobody could say what the sender meant.
    (b"", "the body is empty: a report is a JSON object"),
    (BODY[:-1], "the body is not strict JSON in UTF-8: Expecting ',' delimiter"),
    (BODY + b"\0", "the body is not strict JSON in UTF-8: Extra data"),
    (BODY + BODY, "the body is not strict JSON in UTF-8: Extra data"),
    (b"\xef\xbb\xbf" + BODY, "the body is not strict JSON in UTF-8: Expecting value"),
    (BODY.replace(b"fra", b"\xff"), "can't decode byte 0xff in position 17"),
    (BODY.decode().encode("utf-16"), "the body is not strict JSON in UTF-8: 'utf-8' codec"),
    (BODY.replace(b"fra", b"\n"), "Invalid control character at: line 1 column 18"),
    (one(b"NaN"), "NaN is not a JSON value"),
    (one(b"-Infinity"), "-Infinity is not a JSON value"),
    (one(b"007"), "Expecting ',' delimiter"),
    # A key twice: another reader takes the other one.
    (BODY.replace(b'"v":1', b'"v":1,"v":1'), 'the key "v" appears twice in one object'),
    (spelled(x=[{"a": 1}]).replace(b'"a": 1', b'"a": 1, "a": 1'), 'the key "a" appears twice'),
    # Bounded nesting, in fields we do not know too: a deep body would break readers downstream.
    (b"[" * 200_000, f"it is nested deeper than {DEPTH_MAX} levels"),
    (spelled(x=json.loads("[" * 16 + "]" * 16)), f"nested deeper than {DEPTH_MAX} levels"),
    # JSON, but no report.
    (b"null", "the body is null: it must be an object"),
    (b"[" + BODY + b"]", "the body is an array of 1: it must be an object"),
    (b'"' + b"x" * 99 + b'"', 'the body is "' + "x" * 59 + "…: it must be an object"),
    # The version is an integer that is there.
    (spelled(v=...), "v is missing: it names the version of the wire, 1"),
    (spelled(v=1.0), "v is 1.0: it must be the integer 1"),
    (spelled(v=True), "v is true: it must be the integer 1"),
    (spelled(v=None), "v is null: it must be the integer 1"),
    # Every field is there.
    (spelled(server=...), f"server is missing: {SERVER}"),
    (spelled(at_ms=...), f"at_ms is missing: at_ms must be {TIME}"),
    (spelled(value=...), f"value is missing: {VALUES}"),
    # Names: what PostgreSQL text cannot hold, what breaks a log line, what is too long.
    (spelled(server=""), f'server is "": {SERVER}'),
    (spelled(server="a\0"), f'server is "a\\u0000": {SERVER}'),
    (spelled(server="a\n"), f'server is "a\\n": {SERVER}'),
    (spelled(server="a\x85"), f'server is "a\\u0085": {SERVER}'),
    (spelled(server="\udc80"), f'server is "\\udc80": {SERVER}'),
    (spelled(server="s" * 257), f'server is "{"s" * 59}…: {SERVER}'),
    (spelled(server=7), f"server is 7: {SERVER}"),
    (spelled(origin="a/b"), 'origin is "a/b": origin must be 1 … 64 letters, digits and hyphens'),
    (spelled(origin="é"), 'origin is "\\u00e9": origin must be 1 … 64 letters'),
    (spelled(origin="o" * 65), "origin must be 1 … 64 letters"),
    (spelled(origin="o\n"), "origin must be 1 … 64 letters"),
    (spelled(meter=["m", ""]), f'meter[1] is "": meter must be {METERS}'),
    (spelled(meter=["\ud800", "m"]), f'meter[0] is "\\ud800": meter must be {METERS}'),
    (spelled(meter=["m", None]), f"meter[1] is null: meter must be {METERS}"),
    (spelled(resource=["r\0", ""]), f'resource[0] is "r\\u0000": resource must be {RESOURCES}'),
    (spelled(resource=["r" * 257, ""]), f"resource must be {RESOURCES}"),
    # Times and sequence numbers: bounded integers.
    (spelled(since_ms=-1), f"since_ms is -1: since_ms must be {TIME}"),
    (spelled(at_ms=TIME_MS_MAX + 1), f"at_ms is 253402300800000: at_ms must be {TIME}"),
    (spelled(at_up_ms="5"), f'at_up_ms is "5": at_up_ms must be {TIME}'),
    (spelled(sent_up_ms=5.0), f"sent_up_ms is 5.0: sent_up_ms must be {TIME}"),
    (spelled(seq=0), f"seq is 0: seq must be an integer 1 … {SEQ_MAX}"),
    (spelled(seq=SEQ_MAX + 1), f"seq must be an integer 1 … {SEQ_MAX}"),
    (spelled(seq=False), "seq is false: seq must be an integer"),
    # Counters: integers in range, however they are spelled.
    (one(b"7.0"), f"value[0] is 7.0: {VALUES}"),
    (one(b"1e3"), f"value[0] is 1000.0: {VALUES}"),
    (one(b"1e999"), f"value[0] is Infinity: {VALUES}"),
    (one(b"true"), f"value[0] is true: {VALUES}"),
    (one(b"null"), f"value[0] is null: {VALUES}"),
    (one(b'"7"'), f'value[0] is "7": {VALUES}'),
    (one(b"-1"), f"value[0] is -1: {VALUES}"),
    (one(b"[1]"), f"value[0] is an array of 1: {VALUES}"),
    (one(b"%d" % (VALUE_MAX + 1)), f"value[0] is {VALUE_MAX + 1}: {VALUES}"),
    (one(b"9" * 5_000), f"value[0] is {'9' * 20}: {VALUES}"),
    (one(b"-" + b"9" * 5_000), f"value[0] is -{'9' * 19}: {VALUES}"),
    # Arrays: parallel, not empty, bounded, each series once.
    (spelled(value=[]), f"value is an array of 0: {VALUES}"),
    (spelled(meter={"0": "m"}), "meter is an object: meter must be an array"),
    (spelled(value=[1]), "meter, resource and value have 2, 2 and 1 entries"),
    (spelled(meter=["m"]), "meter, resource and value have 1, 2 and 2 entries"),
    (
        spelled(meter=["m", "m"], resource=["r", "r"]),
        'meter "m" with resource "r" stands at 0 and at 1: a series may appear once',
    ),
    (spelled(meter=["m"] * (SERIES_MAX + 1)), f"meter is an array of {SERIES_MAX + 1}: meter must"),
]

GOOD = [
    (BODY, "as the agent writes it"),
    (spelled(), "white space between tokens is JSON"),
    (b"\r\n\t " + json.dumps(fields(), indent=2).encode() + b"\n", "new lines too"),
    (json.dumps(dict(reversed(fields().items()))).encode(), "fields come in any order"),
    (spelled(x=None, tags=[{"a": [1.5, "\0"]}]), "fields of a later agent are ignored"),
    (BODY.replace(b"fra", rb"\u0066ra"), "an escape is another spelling of the same character"),
    (spelled(x="[{" * 100), "brackets inside a string are no nesting"),
    (spelled(x=json.loads("[" * 15 + "]" * 15)), "nesting up to the bound"),
    (BODY + b" " * (MESSAGE_BYTES_MAX - len(BODY)), "exactly the largest message"),
]


@pytest.mark.parametrize(("body", "sentence"), MALFORMED)
def test_malformed(body: bytes, sentence: str) -> None:
    refusal = explain(body)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Verdict.MALFORMED
    assert sentence in refusal.detail


@pytest.mark.parametrize(("body", "sentence"), MALFORMED)
def test_a_sentence_fits_into_a_log_and_into_sql(body: bytes, sentence: str) -> None:
    refusal = explain(body)
    assert isinstance(refusal, Refusal)
    assert len(refusal.detail) < 300
    assert "\0" not in refusal.detail
    assert "\n" not in refusal.detail
    refusal.detail.encode()


@pytest.mark.parametrize(("body", "why"), GOOD)
def test_every_legal_spelling_is_the_same_report(body: bytes, why: str) -> None:
    assert explain(body) == REPORT, why


@pytest.mark.parametrize(
    "changes",
    [
        {"server": "s" * 256},
        {"server": "Müllers Rechner / 3 \U0001f600"},
        {"origin": "o" * 64},
        {"since_ms": 0, "at_ms": TIME_MS_MAX, "at_up_ms": TIME_MS_MAX, "sent_up_ms": 0},
        {"seq": SEQ_MAX},
        {"meter": ("m" * 256, "ü" * 256), "resource": ("", "\x01\u2028")},
        {"value": (0, VALUE_MAX)},
        {
            "meter": ("m",) * SERIES_MAX,
            "resource": tuple(map(str, range(SERIES_MAX))),
            "value": (1,) * SERIES_MAX,
        },
    ],
)
def test_the_bounds_themselves_are_allowed(changes: dict[str, Any]) -> None:
    report = replace(REPORT, **changes)
    assert explain(encode(report)) == report


def test_minus_zero_is_zero() -> None:
    report = explain(one(b"-0"))
    assert not isinstance(report, Refusal)
    assert report.value == (0,)


def test_a_message_over_the_limit_is_not_even_read() -> None:
    refusal = explain(b" " * (MESSAGE_BYTES_MAX + 1))
    assert refusal == Refusal(
        Verdict.OVERSIZED, "the body has 1000001 bytes: at most 1000000 are allowed"
    )


@pytest.mark.parametrize("version", [0, 2, 99, -1, 10**30])
def test_an_unknown_version_is_not_called_malformed(version: int) -> None:
    """The counters make up for it after the upgrade, so it must stand apart from garbage."""
    refusal = explain(b'{"v":%d,"everything":"else is different"}' % version)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Verdict.UNKNOWN_VERSION
    assert "this reader knows version 1 only; upgrade it and replay" in refusal.detail


@pytest.mark.parametrize(
    "body",
    [
        b'"' + rb"\"" * 499_000 + b"\\",
        b'"a' * 330_000,
        b"[]" * 499_999,
        b"[" * 999_999,
        b"{" * 16 + b'"' * 999_000,
        b'{"v":1,"value":[' + b"9" * 999_000 + b"]}",
        b'{"v":1,"value":[' + b"1.5," * 249_000 + b"1]}",
        b'{"v":1,' + b'"a":1,' * 166_000 + b'"b":1}',
    ],
)
def test_no_body_takes_quadratic_time(body: bytes) -> None:
    """A megabyte takes a tenth of a second at most; quadratic would be minutes."""
    began = time.perf_counter()
    assert isinstance(explain(body), Refusal)
    assert time.perf_counter() - began < 5
