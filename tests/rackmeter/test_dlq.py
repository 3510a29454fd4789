"""`rackmeter dlq` on a real PostgreSQL: what it finds, shows and refuses."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.retries import retry_headers
from rackmeter.cli import main as cli
from rackmeter.cli.dlq_words import NEVER, TO_DO
from schemas.verdict import RETRYABLE, Verdict
from sinks.database import Connection
from tests import vault
from tests.sinks.metering import TOPIC_ID, register
from tests.sinks.test_deadletters import refuse

REFUSED = [verdict for verdict in Verdict if verdict.refused]
APPENDED_MS = 1_790_812_800_000  # 2026-10-01T00:00Z


@pytest.fixture
def conn(billing: Connection) -> Connection:
    register(billing, 4)
    return billing


@pytest.fixture
def run(
    billing_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Runs `rackmeter dlq …`; exit code, stdout, stderr."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path / "data"))
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["dlq", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def letter(
    conn: Connection,
    offset: int,
    reason: Verdict = Verdict.MALFORMED,
    *,
    key: bytes | None = b"s1",
    days: int = 0,
    payload: bytes = b"junk",
    headers: Sequence[tuple[str, bytes]] = (("kid", b"k1"),),
) -> None:
    refuse(conn, offset, key=key, payload=payload, headers=headers)
    conn.execute(
        'UPDATE dead_letter SET reason = %s, append_ms = %s WHERE "offset" = %s',
        (reason.value, APPENDED_MS + days * 86_400_000, offset),
    )
    conn.commit()


# -- words -----------------------------------------------------------------------------------------


def test_every_reason_has_its_sentences() -> None:
    assert set(TO_DO) == set(REFUSED)
    assert set(NEVER) == set(REFUSED) - RETRYABLE


# -- list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "offsets"),
    [
        ((), [4, 3, 2, 1]),
        (("--reason", "forged"), [3, 1]),
        (("--server", "s2"), [2, 1]),
        (("--server", "s"), []),
        (("--since", "2026-10-03"), [4, 3]),
        (("--since", "2026-10-03", "--reason", "forged"), [3]),
        (("--limit", "2"), [4, 3]),
    ],
)
def test_the_newest_of_those_asked_for(
    run: Callable[..., Any], conn: Connection, filters: tuple[str, ...], offsets: list[int]
) -> None:
    letter(conn, 1, Verdict.FORGED, key=b"s2")
    letter(conn, 2, Verdict.MALFORMED, key=b"s2", days=1)
    letter(conn, 3, Verdict.FORGED, days=2)
    letter(conn, 4, Verdict.MALFORMED, key=None, days=3)
    code, out, _ = run("list", *filters, "--json")
    assert code == 0
    found = json.loads(out)
    assert [one["offset"] for one in found["letters"]] == offsets
    if "--limit" not in filters:
        assert sum(found["counts"].values()) == len(offsets)


def test_a_line_of_a_letter(run: Callable[..., Any], conn: Connection) -> None:
    letter(conn, 7)
    found = json.loads(run("list", "--json")[1])["letters"]
    assert found == [
        {
            "reason": "malformed", "position": "usage.reports/0/7", "topic": "usage.reports",
            "partition": 0, "offset": 7, "server": "s1", "appended_ms": APPENDED_MS,
            "timestamps": "create", "retried_ms": None, "bytes": 4, "detail": "no JSON",
        }
    ]  # fmt: skip
    head, row = run("list")[1].splitlines()
    assert head.split()[:3] == ["reason", "position", "server"]
    assert row.split() == [
        "malformed", "usage.reports/0/7", "s1", "2026-10-01", "00:00:00", "no", "JSON",
    ]  # fmt: skip


@pytest.mark.parametrize("ms", [-1, 2**62])
def test_a_producer_may_stamp_what_it_likes(
    run: Callable[..., Any], conn: Connection, ms: int
) -> None:
    letter(conn, 7)
    conn.execute("UPDATE dead_letter SET append_ms = %s", (ms,))
    conn.commit()
    assert run("list")[0] == run("show", "usage.reports/0/7")[0] == 0


@pytest.mark.parametrize("key", [b"\x1b[2J", b"\xff\xfe", b"a\nb"])
def test_a_key_does_nothing_to_a_terminal(
    run: Callable[..., Any], conn: Connection, key: bytes
) -> None:
    letter(conn, 7, key=key, payload=key, headers=[("\x1b[1m", key)])
    for command in (("list",), ("show", "usage.reports/0/7")):
        _, out, _ = run(*command)
        assert "\x1b" not in out
        assert out.replace("\n", "").isprintable()


# -- show ------------------------------------------------------------------------------------------


def test_all_that_is_known_of_one(run: Callable[..., Any], conn: Connection) -> None:
    letter(conn, 7, Verdict.FORGED, payload=b'{"v":1}', headers=[("kid", b"k1"), ("sig", b"\0")])
    code, out, _ = run("show", "usage.reports/0/7")
    assert code == 0
    said = out.splitlines()
    assert said[:4] == [
        "position  usage.reports/0/7",
        "reason    forged: no JSON",
        f"to do     {TO_DO[Verdict.FORGED]}",
        f"retry     is of no use: {NEVER[Verdict.FORGED]}",
    ]
    assert said[-2:] == ["", '{"v":1}']
    assert "header    sig: b'\\x00'" in said
    shown = json.loads(run("show", "usage.reports/0/7", "--json")[1])
    assert (shown["body"], shown["headers"]) == ('{"v":1}', [["kid", "k1"], ["sig", "\0"]])


def test_bytes_are_shown_as_such(run: Callable[..., Any], conn: Connection) -> None:
    letter(conn, 7, payload=b"\x00\xff" * 40_000)
    _, out, _ = run("show", "usage.reports/0/7")
    assert "80,000 bytes, in hexadecimal" in out
    assert out.splitlines()[-1] == "… cut after 65,536 bytes: --json has the whole"
    shown = json.loads(run("show", "usage.reports/0/7", "--json")[1])
    assert shown["body"].keys() == {"b64"}


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("show", "usage.reports/0/9"), 5, "No report was refused at usage.reports/0/9"),
        (("show", "usage.reports/0"), 2, "is no position"),
        (("show", f"usage.reports/0/{'9' * 19}"), 2, "is no position"),
        (("show", "usage.reports/-1/0"), 2, "is no position"),
        (("list", "--reason", "late"), 2, "--reason is late; it must be one of oversized"),
        (("list", "--since", "soon"), 2, "soon is no time"),
        (("retry",), 2, "Which? Name a POSITION"),
        (("retry", "--server", "nobody"), 5, "No report was refused there"),
    ],
)
def test_mistakes_are_answered(
    run: Callable[..., Any],
    conn: Connection,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    assert conn is not None
    got, _, said = run(*arguments)
    assert got == code
    assert sentence in said


@pytest.mark.parametrize("reason", REFUSED)
def test_what_can_be_retried_at_all(
    run: Callable[..., Any], conn: Connection, reason: Verdict
) -> None:
    letter(conn, 7, reason)
    code, _, said = run("retry", "usage.reports/0/7", "--dry-run")
    assert code == (0 if reason in RETRYABLE else 5)
    if reason in NEVER:
        assert f"{reason.value}: {NEVER[reason]}" in said


def test_a_retry_that_was_refused_is_not_retried_itself(
    run: Callable[..., Any], conn: Connection
) -> None:
    letter(conn, 7, Verdict.UNKNOWN_KEY, headers=retry_headers([("kid", b"k")], 0, 3))
    code, _, said = run("retry", "usage.reports/0/7", "--dry-run")
    assert code == 5
    assert "a retry of usage.reports/0/3; retry that one, with --again" in said


def test_letters_of_a_topic_that_is_gone_are_kept(
    run: Callable[..., Any], conn: Connection
) -> None:
    """Named by a place, the newest topic of that name is meant."""
    conn.execute(
        "INSERT INTO ingest_topic VALUES (gen_random_uuid(), 'c', 'usage.reports', 4, 'CreateTime',"
        " now() - interval '1 day')"
    )
    letter(conn, 7, key=b"old")
    conn.execute(
        "UPDATE dead_letter SET topic_id ="
        " (SELECT topic_id FROM ingest_topic WHERE topic_id <> %s)",
        (TOPIC_ID,),
    )
    letter(conn, 8, key=b"new")
    conn.execute('UPDATE dead_letter SET "offset" = 7')
    conn.commit()
    assert json.loads(run("show", "usage.reports/0/7", "--json")[1])["server"] == "new"
    assert json.loads(run("list", "--json")[1])["counts"] == {"malformed": 2}
