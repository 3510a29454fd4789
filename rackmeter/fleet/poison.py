"""Messages that must be refused at the door, each wrong in one way. Pure.

Each is made from a true report that is due at the same time, so that it would count if it were let
in. None of them may use up the report's id, whatever comes first.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from schemas.envelope import Headers, Key, headers
from schemas.report import MESSAGE_BYTES_MAX, SERIES_MAX, VALUE_MAX, Report, encode
from schemas.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Place:
    """What signatures cover beside the report."""

    environment: str
    topic: str


class Sender(NamedTuple):
    """A server with its keys: the one it signs with, one that is over, and a neighbour's."""

    place: Place
    key: Key
    expired: Key
    neighbour: Key


Message = tuple[bytes, bytes, Headers]
_Body = Callable[[bytes, np.random.Generator], bytes]
_Wrong = Callable[[Report, Sender], Message]


def _put(**fields: object) -> _Body:
    """Other values in some fields."""
    return lambda body, _rng: json.dumps({**json.loads(body), **fields}).encode()


def _without(name: str) -> _Body:
    return lambda body, _rng: json.dumps(
        {field: value for field, value in json.loads(body).items() if field != name}
    ).encode()


def _first_value(token: bytes) -> _Body:
    """Another token in the place of the first counter."""

    def made(body: bytes, _rng: np.random.Generator) -> bytes:
        head, _, tail = body.partition(b'"value":[')
        return head + b'"value":[' + token + tail.lstrip(b"0123456789")

    return made


def _torn(body: bytes, rng: np.random.Generator) -> bytes:
    return body[: int(rng.integers(1, len(body)))]


def _noise(body: bytes, rng: np.random.Generator) -> bytes:
    return b"\xff" + rng.bytes(len(body))


def _series_twice(body: bytes, _rng: np.random.Generator) -> bytes:
    fields = json.loads(body)
    for name in ("meter", "resource", "value"):
        fields[name].append(fields[name][0])
    return json.dumps(fields).encode()


def _unequal(body: bytes, _rng: np.random.Generator) -> bytes:
    fields = json.loads(body)
    fields["value"].append(1)
    return json.dumps(fields).encode()


def _named(resource: str) -> _Body:
    def made(body: bytes, _rng: np.random.Generator) -> bytes:
        fields = json.loads(body)
        fields["resource"][-1] = resource
        return json.dumps(fields).encode()

    return made


def _replaced(old: bytes, new: bytes) -> _Body:
    return lambda body, _rng: body.replace(old, new, 1)


_SMALL: Final[Mapping[str, _Body]] = {
    "torn": _torn,
    "noise": _noise,
    "empty": lambda _body, _rng: b"",
    "two reports": lambda body, _rng: body + b"\n" + body,
    "an array": lambda body, _rng: b"[" + body + b"]",
    "NaN": _first_value(b"NaN"),
    "infinity": _first_value(b"Infinity"),
    "a negative counter": _first_value(b"-1"),
    "a float": _first_value(b"7.0"),
    "an exponent": _first_value(b"1e3"),
    "a text": _first_value(b'"7"'),
    "a truth": _first_value(b"true"),
    "null": _first_value(b"null"),
    "a leading zero": _first_value(b"07"),
    "beyond the largest": _first_value(b"%d" % (VALUE_MAX + 1)),
    "thousands of digits": _first_value(b"9" * 5_000),
    "an array in an array": _first_value(b"[1]"),
    "no counters": _put(meter=[], resource=[], value=[]),
    "unequal arrays": _unequal,
    "a series twice": _series_twice,
    "NUL in a name": _named("eth\0"),
    "a lone surrogate": _named("\ud800"),
    "a long name": _named("n" * 257),
    "a key twice": _replaced(b'"seq":', b'"seq":1,"seq":'),
    "a key twice, deep inside": _replaced(b'"seq":', b'"x":{"a":1,"a":2},"seq":'),
    "invalid UTF-8": _replaced(b'"seq":', b'"x":"\xc3","seq":'),
    "an encoded surrogate": _replaced(b'"seq":', b'"x":"\xed\xa0\x80","seq":'),
    "a byte order mark": lambda body, _rng: b"\xef\xbb\xbf" + body,
    "NUL at the end": lambda body, _rng: body + b"\0",
    "a raw control character": _replaced(b'"seq":', b'"x":"\n","seq":'),
    "a deep unknown field": _replaced(b'"seq":', b'"x":' + b"[" * 17 + b"]" * 17 + b',"seq":'),
    "a number not to be asked for": _put(seq=0),
    "no time": _without("at_ms"),
    "a time before time": _put(at_ms=-1),
    "a time after time": _put(sent_up_ms=253_402_300_800_000),
    "no version": _without("v"),
    "a version that is a truth": _put(v=True),
    "an origin with a slash": _put(origin="../1"),
}
_LARGE: Final[Mapping[str, _Body]] = {
    "as deep as it is long": lambda _body, _rng: b"[" * 100_000,
    "too many series": _put(
        meter=["cpu.busy_ms"] * (SERIES_MAX + 1),
        resource=list(map(str, range(SERIES_MAX + 1))),
        value=[1] * (SERIES_MAX + 1),
    ),
    "almost too large, and torn": lambda body, _rng: body[:-1].ljust(900_000),
}


def _signed(report: Report, sender: Sender, key: Key, **changes: str) -> Message:
    body = encode(report)
    place = replace(sender.place, **changes)
    made = headers(report, body, key, place.environment, place.topic)
    return report.server.encode(), body, made


def _forged_body(report: Report, sender: Sender) -> Message:
    """A true signature on counters that were raised afterwards."""
    key, body, made = _signed(report, sender, sender.key)
    return key, body.replace(b'"value":[', b'"value":[1', 1), made


def _of_next_id(report: Report, sender: Sender) -> Message:
    """A true signature and its id, over the body of the next number."""
    key, _, made = _signed(report, sender, sender.key)
    body = encode(replace(report, seq=report.seq + 1))
    return key, body, [header for header in made if header[0] != "ce_id"]


def _without_header(name: str) -> _Wrong:
    def made(report: Report, sender: Sender) -> Message:
        key, body, whole = _signed(report, sender, sender.key)
        return key, body, [header for header in whole if header[0] != name]

    return made


def _header(name: str, value: bytes, *, second: bool = False) -> _Wrong:
    def made(report: Report, sender: Sender) -> Message:
        key, body, whole = _signed(report, sender, sender.key)
        kept = [header for header in whole if second or header[0] != name]
        return key, body, [*kept, (name, value)]

    return made


def _keyed(key: Callable[[Report], bytes]) -> _Wrong:
    def made(report: Report, sender: Sender) -> Message:
        _, body, whole = _signed(report, sender, sender.key)
        return key(report), body, whole

    return made


def _stolen(report: Report, sender: Sender) -> Message:
    """The neighbour speaks in its own name, under this server's key of the topic."""
    theirs = replace(report, server=sender.neighbour.server)
    _, body, whole = _signed(theirs, sender, sender.neighbour)
    return report.server.encode(), body, whole


_ENVELOPES: Final[Mapping[str, tuple[Verdict, _Wrong]]] = {
    "another server's key of the topic": (
        Verdict.FOREIGN,
        _keyed(lambda r: r.server.encode() + b"-b"),
    ),
    "no key of the topic": (Verdict.FOREIGN, _keyed(lambda _report: b"")),
    "a neighbour in this server's place": (Verdict.FOREIGN, _stolen),
    "no signature": (Verdict.UNSIGNED, _without_header("sig")),
    "no key id": (Verdict.UNSIGNED, _without_header("kid")),
    "nobody's key": (Verdict.UNKNOWN_KEY, _header("kid", b"kid-of-nobody")),
    "a key that is over": (Verdict.UNKNOWN_KEY, lambda r, s: _signed(r, s, s.expired)),
    "signed by a neighbour": (Verdict.FORGED, lambda r, s: _signed(r, s, s.neighbour)),
    "a secret that nobody registered": (
        Verdict.FORGED,
        lambda r, s: _signed(r, s, replace(s.key, secret=b"a secret that nobody registered.")),
    ),
    "counters raised after signing": (Verdict.FORGED, _forged_body),
    "the signature of another number": (Verdict.FORGED, _of_next_id),
    "of another environment": (Verdict.FORGED, lambda r, s: _signed(r, s, s.key, environment="x")),
    "of another topic": (Verdict.FORGED, lambda r, s: _signed(r, s, s.key, topic="x")),
    "no hexadecimal signature": (Verdict.FORGED, _header("sig", b"\xff\x00")),
    "a second key id": (Verdict.MALFORMED, _header("kid", b"k", second=True)),
    "another id than the body's": (Verdict.MALFORMED, _header("ce_id", b"x")),
}
_BODIES: Final = {**_SMALL, **_LARGE}
KINDS: Final = (*_SMALL, *_ENVELOPES)
"""Small ones, for floods."""
RARE: Final = (*_LARGE, "oversized")
"""A tenth of a megabyte to one: a few of each."""


def poisoned(
    kind: str, report: Report, sender: Sender, rng: np.random.Generator
) -> tuple[Verdict, Message]:
    """The message, and how it must be refused."""
    if kind in _ENVELOPES:
        verdict, wrong = _ENVELOPES[kind]
        return verdict, wrong(report, sender)
    key, body, made = _signed(report, sender, sender.key)
    if kind == "oversized":
        return Verdict.OVERSIZED, (key, body.ljust(MESSAGE_BYTES_MAX + 1), made)
    return Verdict.MALFORMED, (key, _BODIES[kind](body, rng), made)
