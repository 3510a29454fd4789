"""Messages of version 1, kept for ever: old agents and old topics stay readable.

Entries are added, never changed. One that fails means that the wire changed without a new version.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import signature
from schemas.report import Report, content_hash, encode, names_json
from schemas.validate import explain

_ENTRIES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "corpus" / "v1.json").read_text(encoding="utf-8")
)
every_entry = pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: str(entry["name"]))


def report_of(entry: dict[str, Any]) -> Report:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entry["report"].items()
    }
    return Report(**fields)


@every_entry
def test_is_still_read(entry: dict[str, Any]) -> None:
    assert explain(entry["body"].encode()) == report_of(entry)


@every_entry
def test_is_still_written(entry: dict[str, Any]) -> None:
    same = encode(report_of(entry)).decode() == entry["body"]
    assert same is entry["written_by_agent"]


@every_entry
def test_still_verifies(entry: dict[str, Any]) -> None:
    body, report = entry["body"].encode(), report_of(entry)
    secret = b"the secret of the corpus"
    signed = signature(secret, "production", "usage.reports", report.id, body)
    assert signed.decode() == entry["signature"]


@every_entry
def test_has_the_same_content(entry: dict[str, Any]) -> None:
    """Else a replay would call every repeated report of the past a conflict."""
    report = report_of(entry)
    names = names_json(report.meter, report.resource).encode()
    digits = ",".join(map(str, report.value)).encode()
    assert content_hash(report.at_ms, report.at_up_ms, names, digits) == entry["content"]
