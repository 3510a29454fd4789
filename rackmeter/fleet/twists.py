"""Messages that must be refused, each made from a true report and wrong in one way only. Pure."""

from dataclasses import replace
from typing import Final

from rackmeter.fleet.life import Life
from rackmeter.fleet.messages import Message
from schemas.envelope import Key, headers
from schemas.report import VALUE_MAX, VERSION, Report, encode
from schemas.verdict import Verdict

_WRONG_SECRET: Final = b"a secret that nobody registered."


def twisted(
    verdict: Verdict, life: Life, reading: int, now_ms: int, key: Key, environment: str, topic: str
) -> Message:
    """The report of a reading, wrong in the way that leads to this verdict."""
    report = _wrong_content(verdict, life.report(reading, now_ms))
    body = _wrong_body(verdict, encode(report))
    signed = headers(report, body, _wrong_key(verdict, key), environment, topic)
    if verdict is Verdict.UNSIGNED:
        signed = [header for header in signed if header[0] != "sig"]
    whose = f"{report.server}-b" if verdict is Verdict.FOREIGN else report.server
    return whose.encode(), body, signed


def _wrong_content(verdict: Verdict, report: Report) -> Report:
    if verdict is Verdict.CONFLICT:
        return replace(report, value=(report.value[0] + 1, *report.value[1:]))
    if verdict is Verdict.REGRESSION:
        return replace(report, value=tuple(value // 2 for value in report.value))
    if verdict is Verdict.IMPLAUSIBLE:
        return replace(report, value=(VALUE_MAX, *report.value[1:]))
    return report


def _wrong_body(verdict: Verdict, body: bytes) -> bytes:
    if verdict is Verdict.MALFORMED:
        return body[: len(body) * 2 // 3]
    if verdict is Verdict.UNKNOWN_VERSION:
        return body.replace(b'"v":%d' % VERSION, b'"v":%d' % (VERSION + 1), 1)
    return body


def _wrong_key(verdict: Verdict, key: Key) -> Key:
    if verdict is Verdict.FORGED:
        return replace(key, secret=_WRONG_SECRET)
    if verdict is Verdict.UNKNOWN_KEY:
        return replace(key, kid="kid-of-nobody")
    return key
