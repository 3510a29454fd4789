"""What holds for any bytes in a chunk: every message has one fate, said in one sentence.

The input is up to six bodies with ``BETWEEN`` between them. Each is signed as its own server would
sign it, so that nothing ends at the signature; ``!`` and a letter before a body spoils its message
in one of the ways below.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from pipeline.keyring import Keyring
from pipeline.records import Batch
from schemas.envelope import Key
from schemas.report import encode
from schemas.validate import explain
from schemas.verdict import DeadLetter
from tests.pipeline.paths import Reader, key_of, reports_of, rows, send
from tests.schemas.messages import Message

_SHOWN = re.compile(r"\"[^\"]*\"|'[^']*'|[0-9]+")
_PAIR = re.compile(rb'"([a-z_]{1,10})":(\[?"(?:[^"\\]|\\.)*"|[^\s,\]}]{0,40})', re.DOTALL)
BETWEEN = b"\n\0\n"
_MESSAGES_MAX = 6
_PARTITIONS = 2
_SENTENCE_CHARS_MAX = 500


def _renamed(message: Message, name: str, value: bytes) -> Message:
    kept = [(known, old) for known, old in message.headers if known != name]
    return replace(message, headers=[*kept, (name, value)])


def _garbage(message: Message) -> Message:
    """What Kafka allows in headers and no agent sends."""
    body = message.value or b""
    half = len(body) // 2
    named = [(body[:20].decode(errors="replace"), body), ("kid", body[:half]), ("sig", body[half:])]
    return replace(message, headers=named, key=body[:half] or None)


def _no_values(message: Message) -> Message:
    empty: list[tuple[str, bytes]] = [(name, None) for name, _ in message.headers]  # type: ignore[misc]
    return replace(message, headers=empty)


# A server's name holds no control character, so the kids with a line feed are nobody's own.
SPOILT: dict[bytes, Callable[[Message], Message]] = {
    b"!u": lambda m: replace(m, headers=()),
    b"!f": lambda m: _renamed(m, "sig", b"0" * 64),
    b"!k": lambda m: _renamed(m, "kid", b"\xff\0"),
    b"!e": lambda m: _renamed(m, "kid", b"\n" + (m.key or b"")),
    b"!o": lambda m: _renamed(m, "kid", b"\n\n"),
    b"!2": lambda m: replace(m, headers=[*m.headers, *m.headers[-1:]]),
    b"!i": lambda m: _renamed(m, "ce_id", b"\xff/1"),
    b"!p": lambda m: replace(m, key=b"\xff"),
    b"!n": lambda m: replace(m, key=None),
    b"!0": lambda m: replace(m, value=None),
    b"!v": _no_values,
    b"!g": _garbage,
    b"!t": lambda m: replace(m, timestamp=-1),
}


def messages_of(data: bytes) -> list[Message]:
    """The chunk that an input stands for, offsets with gaps."""
    messages = []
    for i, part in enumerate(data.split(BETWEEN)[:_MESSAGES_MAX]):
        spoil = SPOILT.get(part[:2])
        message = send(part[2:] if spoil else part)
        messages.append(replace(spoil(message) if spoil else message, offset=7 + 3 * i))
    return messages


def check(data: bytes) -> tuple[Batch, list[DeadLetter]]:
    """Raises where a law of admission is broken."""
    messages = messages_of(data)
    reports = reports_of(message.value or b"" for message in messages)
    keys = [key_of(report.server) for report in reports]
    expired = [Key(f"\n{key.server}", key.server, b"secret", valid_to_ms=1) for key in keys]
    keyring = Keyring([*keys, *expired, Key("\n\n", "\n", b"secret")])

    reader = Reader(keyring, _PARTITIONS)
    batch, dead = reader.check_both_paths(messages, reports)
    reader.check_alone(messages)
    _check_fates(messages, batch, dead)
    for letter in dead:
        _check_sentence(letter.detail)
    for report in reports:
        assert explain(encode(report)) == report, "what is read can be written"
    return batch, dead


def shapes(data: bytes, result: tuple[Batch, list[DeadLetter]]) -> Iterator[str]:
    """What is new about an input where coverage is blind, because JSON is read in C: the sentence
    of a refusal; of what was admitted, each value by its key, its kind and its length."""
    batch, dead = result
    for letter in dead:
        yield _SHOWN.sub("", letter.detail.partition(": it must be")[0])
    parts = data.split(BETWEEN)
    for i in batch.record.tolist():
        for key, value in _PAIR.findall(parts[i]):
            digits = value.lstrip(b"[").isdigit()
            plain = value.isascii() and b"\\" not in value
            yield f"{key!r} {value[:2] if not digits else len(value)} {plain}"


def _check_fates(messages: list[Message], batch: Batch, dead: list[DeadLetter]) -> None:
    """Each message is one row or one dead letter; a row says what any reader of JSON reads."""
    admitted = [messages[i] for i in batch.record]
    offsets = [message.offset for message in admitted] + [letter.offset for letter in dead]
    assert sorted(offsets) == [message.offset for message in messages]
    names = ("server", "origin", "since_ms", "seq", "at_ms", "at_up_ms", "sent_up_ms")
    for message, row in zip(admitted, rows(batch), strict=True):
        fields = json.loads(message.value or b"")
        assert row[2:9] == tuple(fields[name] for name in names)
        assert row[10] == fields["value"]
        assert row[11:13] == (tuple(fields["meter"]), tuple(fields["resource"]))


def _check_sentence(detail: str) -> None:
    """Fit for a log line and for SQL."""
    assert 0 < len(detail) <= _SENTENCE_CHARS_MAX
    assert detail.isprintable()
    detail.encode()
