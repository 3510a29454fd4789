"""The number log as a file: what survives a crash, and what is refused."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from invoicing.number_log import Entry, Logged, NumberLog
from schemas.errors import DependencyError, DifferenceError, RefusedError

LEDGER = UUID("00000000-0000-0000-0000-0000000000aa")
FIRST = Entry(
    "RM-2026-000001", "rm", "invoice", 2026, 1, "00000000-0000-0000-0000-000000000001", "ab" * 32,
    "acme", datetime(2026, 2, 1, tzinfo=UTC), ("item-ä",),
)  # fmt: skip
OTHER = replace(FIRST, invoice_id="00000000-0000-0000-0000-000000000002", digest="cd" * 32)
SECOND = replace(OTHER, number="RM-2026-000002", count=2)


def opened(path: Path) -> NumberLog:
    return NumberLog(path, LEDGER)


def test_what_one_writes_another_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "numbers.log"
    writer, reader = opened(path), opened(path)
    assert reader.numbers() == {}
    writer.take(FIRST)
    assert reader.numbers() == {FIRST.number: Logged(FIRST, issued=False)}
    writer.issue(FIRST)
    writer.take(SECOND)
    known = {FIRST.number: Logged(FIRST, issued=True), SECOND.number: Logged(SECOND, issued=False)}
    assert reader.numbers() == writer.numbers() == opened(path).numbers() == known
    assert path.stat().st_mode & 0o077 == 0


def test_a_number_that_was_given_back_goes_to_another(tmp_path: Path) -> None:
    log = opened(tmp_path / "n")
    log.take(FIRST)
    log.take(OTHER)
    log.issue(OTHER)
    assert opened(log.path).numbers() == {FIRST.number: Logged(OTHER, issued=True)}


def test_a_number_that_is_issued_goes_to_nobody_else(tmp_path: Path) -> None:
    log = opened(tmp_path / "n")
    log.issue(FIRST)
    with pytest.raises(RefusedError, match="RM-2026-000001 is on an invoice that this database"):
        opened(log.path).take(OTHER)
    log.take(FIRST)
    assert opened(log.path).numbers()[FIRST.number] == Logged(FIRST, issued=True)


def test_torn_at_every_byte_the_whole_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "n"
    log = opened(path)
    log.issue(FIRST)
    whole = path.read_bytes()
    log.take(SECOND)
    torn = path.read_bytes()
    for size in range(len(whole), len(torn)):
        path.write_bytes(torn[:size])
        assert set(opened(path).numbers()) == {FIRST.number}
        opened(path).take(SECOND)
        assert path.read_bytes() == torn


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b'"count":"1"', b'"count":1'),
        lambda line: line.replace(b'"digest"', b'"digset"'),
        lambda line: line[:-20] + b"\n",
        lambda _line: b"\x00" * 40 + b"\n",
        lambda _line: b"[]\n",
    ],
)
def test_a_line_that_was_damaged_is_said(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "n"
    log = opened(path)
    log.issue(FIRST)
    log.issue(SECOND)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + damage(lines[1]) + lines[2])  # type: ignore[operator]
    with pytest.raises(DifferenceError, match="a line that it did not write"):
        opened(path).numbers()


def test_the_log_of_another_ledger_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "n").take(FIRST)
    other = NumberLog(tmp_path / "n", UUID(int=7))
    for use in (other.numbers, lambda: other.take(SECOND)):
        with pytest.raises(RefusedError, match="set RACKMETER_NUMBER_LOG to this ledger's own"):
            use()


def test_a_disk_that_refuses_is_said_before_a_number_is_given_out(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DependencyError, match="No number was given out"):
        opened(tmp_path / "folder").take(FIRST)
    with pytest.raises(DependencyError, match="cannot be written: No space left on device"):
        opened(Path("/dev/full")).take(FIRST)


def test_many_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "n"
    logs = [opened(path) for _ in range(4)]

    def write(which: int) -> None:
        for count in range(which, 200, 4):
            logs[which].take(replace(FIRST, number=f"RM-2026-{count:06d}", count=count))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(opened(path).numbers()) == 200
    for log in logs:
        assert log.numbers() == opened(path).numbers()


WRITER = """
import sys
from tests.invoicing.test_number_log import FIRST, opened, replace, Path
log = opened(Path(sys.argv[1]))
for count in range(1, 10**6):
    log.take(replace(FIRST, number=f"RM-2026-{count:06d}", count=count))
    print(count, flush=True)
"""


def test_killed_while_writing_nothing_that_was_said_is_lost(tmp_path: Path) -> None:
    """Ten kills: each number that the writer reported is there, and the file goes on."""
    path = tmp_path / "n"
    for kill in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=os.environ
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * kill)
        process.kill()
        said = [1, *(int(line) for line in process.stdout.read().splitlines() if line)]
        process.wait()
        process.stdout.close()
        there = opened(path).numbers()
        assert there.keys() >= {f"RM-2026-{count:06d}" for count in said}
        for line in path.read_bytes().splitlines():
            json.loads(line)
