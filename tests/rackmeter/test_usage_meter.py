"""`rackmeter usage meter`: small files in, windows and counts out; each mistake one sentence."""

import csv
import gzip
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from rackmeter.capture import read_capture
from rackmeter.cli import main as cli
from schemas.envelope import Key, headers
from schemas.report import Report, encode

START_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
MINUTE_MS = 60_000
KEY = Key("k1", "s", b"0123456789abcdef0123456789abcdef")
NOTHING = dict.fromkeys(
    (
        "reports", "accepted", "duplicates", "late", "conflicts", "malformed", "bad_signature",
        "wrong_key", "regressions", "implausible", "unknown_version", "excessive",
        "clock_corrected",
    ), 0
)  # fmt: skip
Line = dict[str, Any]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RACKMETER_")]:
        monkeypatch.delenv(name)


def report(seq: int, minute: int, *value: int, **changes: Any) -> Report:
    """Read at 00:``minute`` of a server that booted at 00:00, sent 10 ms later."""
    up_ms = minute * MINUTE_MS
    made = Report(
        "s", "o1", START_MS, seq, START_MS + up_ms, up_ms, up_ms + 10,
        ("net.tx_bytes", "net.rx_bytes")[: len(value)], ("eth0",) * len(value), value,
    )  # fmt: skip
    return replace(made, **changes)


def line(*args: Any, sent_minute: int | None = None, **changes: Any) -> Line:
    """A report as it was appended, right after it was read or later."""
    made = report(*args, **changes)
    at_minute = args[1] if sent_minute is None else sent_minute
    return {
        "key": made.server,
        "ts_ms": START_MS + at_minute * MINUTE_MS + 10,
        "value": json.loads(encode(made)),
    }


def signed(made: Report, by: Key = KEY, environment: str = "dev", **changes: Any) -> Line:
    body = encode(made)
    named = headers(made, body, by, environment, "usage.reports")
    shown = {name: value.decode() for name, value in named}
    message = {"key": made.server, "ts_ms": made.at_ms, "headers": shown}
    return message | {"value": json.loads(body)} | changes


@dataclass(frozen=True)
class Case:
    """Lines, the windows they make (``00:05 eth0 tx 7``, the date left out), and their counts."""

    lines: list[Line]
    windows: str
    counts: dict[str, int] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("--unsigned",)
    keys: str = ""


ORDINARY = [line(1, 5, 1000), line(2, 12, 3000)]
WINDOWS = "s 00:00 1000, s 00:05 1428, s 00:10 572"
CASES = {
    "nothing": Case([], ""),
    "a difference is split by cumulative floor; the open window counts": Case(
        ORDINARY, WINDOWS, {"accepted": 2}
    ),
    "zero is left out": Case([line(1, 5, 0), line(2, 10, 7)], "s 00:05 7", {"accepted": 2}),
    "a lost report": Case(
        [line(1, 5, 10), line(3, 15, 31)], "s 00:00 10, s 00:05 10, s 00:10 11", {"accepted": 2}
    ),
    "again": Case([*ORDINARY, *ORDINARY], WINDOWS, {"accepted": 2, "duplicates": 2}),
    "overtaken": Case(
        [line(1, 5, 10), line(3, 15, 30), line(2, 10, 20, sent_minute=16)],
        "s 00:00 10, s 00:05 10, s 00:10 10", {"accepted": 2, "late": 1},
    ),
    "one id, two contents": Case(
        [*ORDINARY, line(2, 12, 3001)], WINDOWS, {"accepted": 2, "conflicts": 1}
    ),
    "a counter that falls": Case(
        [*ORDINARY, line(3, 15, 2999)], WINDOWS, {"accepted": 2, "regressions": 1}
    ),
    "more than is possible": Case(
        [*ORDINARY, line(3, 15, 2**60)], WINDOWS, {"accepted": 2, "implausible": 1}
    ),
    "another version": Case(
        [{"key": "s", "ts_ms": START_MS, "value": {"v": 2}}, *ORDINARY], WINDOWS,
        {"accepted": 2, "unknown_version": 1},
    ),
    "what is no report": Case(
        [
            {"key": "s", "ts_ms": START_MS, "value": {"v": 1}},
            {"key": "s", "ts_ms": START_MS, "value_raw": '{"v":NaN}'},
            {"key": "s", "ts_ms": START_MS, "value_raw": "\ud800"},
            {"key": "s", "ts_ms": START_MS, "value_raw": " " * 1_000_001},
            {"key": "s", "ts_ms": START_MS, "value_b64": "/w=="},
            {"key": "s", "ts_ms": START_MS, "value_b64": None},
            *ORDINARY,
        ],
        WINDOWS, {"accepted": 2, "malformed": 6},
    ),
    "another's key, or none": Case(
        [ORDINARY[0] | {"key": "t"}, ORDINARY[0] | {"key": None}, *ORDINARY], WINDOWS,
        {"accepted": 2, "wrong_key": 2},
    ),
    "a late tail of a former origin is a row of its own": Case(
        [
            line(1, 4, 400),
            line(1, 12, 5, origin="o2", since_ms=START_MS + 7 * MINUTE_MS, at_up_ms=5 * MINUTE_MS,
                 sent_up_ms=5 * MINUTE_MS + 10),
            line(2, 6, 600, sent_minute=13, sent_up_ms=13 * MINUTE_MS + 10),
        ],
        "s 00:00 100, s 00:00 400, s 00:05 3, s 00:05 100, s 00:10 2",
        {"accepted": 3},
    ),
    "servers and series in order": Case(
        [
            line(1, 5, 1, 2, server="b,x"), line(1, 5, 3, server='a"'), line(1, 5, 4, server="B"),
        ],
        'B 00:00 4, a" 00:00 3, b,x rx 00:00 2, b,x 00:00 1', {"accepted": 3},
    ),
    "exact beyond what a float holds": Case(
        [line(1, 5, 2**62 + 1, meter=("x",)), line(2, 10, 2**63 - 17, meter=("x",))],
        f"s x 00:00 {2**62 + 1}, s x 00:05 {2**62 - 18}", {"accepted": 2},
    ),
    "a clock that lies, dated by the broker": Case(
        [line(1, 5, 10), line(2, 10, 20, at_ms=START_MS), line(3, 15, 30)],
        "s 00:00 10, s 00:05 10, s 00:10 10", {"accepted": 3, "clock_corrected": 1},
    ),
    "a clock that lies and is known no better": Case(
        [line(1, 5, 10), line(2, 10, 20, at_ms=START_MS + 11 * MINUTE_MS - 40_000)],
        "s 00:00 10, s 00:05 9, s 00:10 1", {"accepted": 2},
        ("--unsigned", "--timestamps", "create"),
    ),
    "read after it was sent": Case(
        [line(1, 5, 10), line(2, 10, 20, at_ms=START_MS + 40 * MINUTE_MS)],
        # Dated by its sending, 10 ms into the next window.
        "s 00:00 10, s 00:05 9, s 00:10 1", {"accepted": 2, "clock_corrected": 1},
        ("--unsigned", "--timestamps", "create"),
    ),
    "whose time stamp it is, says the line": Case(
        [
            line(1, 5, 10) | {"ts_type": "create"},
            line(2, 10, 20, at_ms=START_MS + 10 * MINUTE_MS - 40_000) | {"ts_type": "create"},
        ],
        "s 00:00 10, s 00:05 10", {"accepted": 2},
    ),
    "another partition than its own": Case(
        [
            line(1, 5, 10) | {"partition": 1, "partitions": 2},
            line(1, 5, 10) | {"partition": 0, "partitions": 2},
        ],
        "s 00:00 10", {"accepted": 1, "wrong_key": 1},
    ),
    "a clock corrected in what is not accepted is not counted": Case(
        [line(1, 5, 10), line(2, 10, 20, at_ms=START_MS), line(2, 10, 20, at_ms=START_MS)],
        "s 00:00 10, s 00:05 10", {"accepted": 2, "duplicates": 1, "clock_corrected": 1},
    ),
    "signed": Case(
        [
            signed(report(1, 5, 1000)),
            signed(report(2, 6, 1)) | {"headers": {}},
            signed(report(2, 6, 1), replace(KEY, secret=b"other")),
            signed(report(2, 6, 1), environment="test"),
            signed(report(2, 6, 1), replace(KEY, server="t"), key="t"),
            signed(report(2, 12, 3000), replace(KEY, kid="any other")),
        ],
        WINDOWS, {"accepted": 2, "bad_signature": 3, "wrong_key": 1},
        ("--keys", "keys.toml"), f's = "{KEY.secret.hex()}"\n',
    ),
    "a secret as text": Case(
        [signed(report(1, 5, 1000)), signed(report(2, 12, 3000))], WINDOWS, {"accepted": 2},
        ("--keys", "keys.toml"), f's = "text:{KEY.secret.decode()}"\n',
    ),
    "another environment": Case(
        [signed(report(1, 5, 1000), environment="prod")], "s 00:00 1000", {"accepted": 1},
        ("--keys", "keys.toml", "--environment", "prod"), f's = "{KEY.secret.hex()}"\n',
    ),
    "keys that begin and end": Case(
        [
            signed(report(1, 5, 1000)),
            signed(report(2, 12, 3000)),
            signed(report(3, 15, 3000)),
            signed(report(3, 15, 3000), replace(KEY, kid="k2")),
        ],
        # Registered at 00:02: what was used before is not spread further back.
        WINDOWS, {"accepted": 2, "bad_signature": 2},
        ("--keys", "keys.toml"),
        f'[[s]]\nkid = "k1"\nsecret = "{KEY.secret.hex()}"\nvalid_from = 2026-03-01T00:02:00Z\n'
        f"valid_to = {START_MS + 13 * MINUTE_MS}\n"
        f'[[s]]\nkid = "k2"\nsecret = "{b"another secret..".hex()}"\n'
        "valid_from = 2026-03-01T00:10:00Z",
    ),
    "the agent's own key file": Case(
        [signed(report(1, 5, 1000)), signed(report(2, 12, 3000))], WINDOWS, {"accepted": 2},
        ("--keys", "keys.toml"), f'server = "s"\nkid = "k1"\nsecret = "{KEY.secret.hex()}"\n',
    ),
}  # fmt: skip


def run(*arguments: object) -> int:
    return cli.run(["usage", "meter", *map(str, arguments)])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_files_in_windows_and_counts_out(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").write_text("".join(json.dumps(one) + "\n" for one in case.lines))
    Path("keys.toml").write_text(case.keys)
    assert run("m", "--ledger", "out.csv", "--dead", "dead", "--json", *case.arguments) == 0
    found = json.loads(capsys.readouterr().out)
    counts = {name: found[name] for name in NOTHING}
    assert counts == NOTHING | {"reports": len(case.lines)} | case.counts
    assert counts["reports"] == sum(counts.values()) - counts["reports"] - counts["clock_corrected"]
    assert shown(Path("out.csv").read_text()) == case.windows
    totals: Counter[tuple[str, str, str]] = Counter()
    for row in csv.DictReader(StringIO(Path("out.csv").read_text())):
        totals[row["server"], row["meter"], row["resource"]] += int(row["quantity"])
    assert {(o["server"], o["meter"], o["resource"]): o["total"] for o in found["series"]} == totals
    refused = sum(counts.values()) - counts["reports"] - counts["clock_corrected"]
    refused -= counts["accepted"] + counts["duplicates"] + counts["late"]
    assert len(Path("dead").read_text().splitlines()) == refused


def shown(text: str) -> str:
    """``server, meter unless it is tx, time, quantity``."""
    head, *rows = csv.reader(StringIO(text))
    assert head == ["server", "meter", "resource", "window_start", "quantity"]
    short = {"net.tx_bytes": "", "net.rx_bytes": "rx "}
    assert {row[2] for row in rows} <= {"eth0"}
    assert all(row[3].startswith("2026-03-01T") and row[3].endswith(":00Z") for row in rows)
    return ", ".join(f"{r[0]} {short.get(r[1], r[1] + ' ')}{r[3][11:16]} {r[4]}" for r in rows)


def test_refused_messages_are_kept_in_the_same_form(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(
        json.dumps({"key": "t", "ts_ms": 7, "headers": [["a", {"b64": "/w=="}]], "value": {}})
        + "\n"
        + json.dumps({"key_b64": "/w==", "ts_ms": 8, "value_b64": "/w=="})
    )
    dead = tmp_path / "dead"
    assert run(tmp_path / "m", "--unsigned", "--dead", dead) == 0
    assert list(read_capture(dead)) == list(read_capture(tmp_path / "m"))
    said = [json.loads(one) for one in dead.read_text().splitlines()]
    assert [one["reason"] for one in said] == ["malformed", "malformed"]
    assert said[0]["detail"].startswith("v is missing")


def test_coverage_is_what_lies_between_near_readings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read at 5, 10, 15 and, after a gap of more than 15 minutes, at 35."""
    lines = [line(n, minute, n) for n, minute in enumerate((5, 10, 15, 35), 1)]
    lines.append(line(1, 5, 1, server="once"))
    (tmp_path / "m").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert run(tmp_path / "m", "--unsigned", "--json") == 0
    assert json.loads(capsys.readouterr().out)["coverage"] == [
        {"server": "once", "observed_ms": 0, "span_ms": 0, "share": None},
        {"server": "s", "observed_ms": 600_000, "span_ms": 1_800_000, "share": 0.333333},
    ]


def test_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m").write_text("".join(json.dumps(one) + "\n" for one in ORDINARY))
    assert run(tmp_path / "m", "--unsigned") == 0
    assert capsys.readouterr().out == (
        "          messages\nreports          2\naccepted         2\n\n"
        "server  meter         resource  total\ns       net.tx_bytes  eth0       3000\n\n"
        "server  observed s  span s  share\ns              420     420  100.00%\n"
    )


def test_gzip_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "".join(json.dumps(one) + "\n" for one in ORDINARY)
    (tmp_path / "m.ndjson.gz").write_bytes(gzip.compress(body.encode()))
    assert run(tmp_path / "m.ndjson.gz", "--unsigned", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 2


# --- mistakes -------------------------------------------------------------------------------------

GOOD = json.dumps(ORDINARY[0]) + "\n"
MISTAKES: dict[str, tuple[str, list[str], int, str]] = {
    "not JSON": (GOOD * 16 + "{]\n" + GOOD, [], 2, "m, line 17: it is not JSON"),
    "both values": (GOOD + '{"ts_ms":1,"value":1,"value_raw":""}\n', [], 2,
                    "m, line 2: it has both value and value_raw"),
    "no time": (GOOD + '{"value":1}\n', [], 2, "m, line 2: ts_ms is missing"),
    "a time that is none": ('{"value":1,"ts_ms":"1"}\n', [], 2, 'm, line 1: ts_ms is "1"'),
    "a key that is none": ('{"value":1,"ts_ms":1,"key":{}}\n', [], 2, "m, line 1: key is an obj"),
    "cut off": (GOOD + GOOD[:50], [], 2, "the file ends in the middle of this line"),
    "nothing said of signatures": (GOOD, ["!unsigned"], 2, "--keys FILE, --ledger-keys, or --unsi"),
    "two things said of signatures": (GOOD, ["--keys", "k"], 2, "--keys FILE, --ledger-keys, or -"),
    "no such keys": (GOOD, ["!unsigned", "--keys", "no"], 2, "no cannot be read: No such file"),
    "a stamp that is none": (GOOD, ["--timestamps", "x"], 2, "--timestamps is x; it must be one"),
    "a topic that is none": (GOOD, ["--topic", "a b"], 2, "topic_reports is 'a b'"),
    "no such folder": (GOOD, ["--ledger", "no/x"], 2, "no/x cannot be written: No such file"),
    "a folder": (GOOD, ["--ledger", "."], 2, ". cannot be written: Is a directory"),
    "over its own input": (GOOD, ["--ledger", "./m"], 2, "must be different files"),
    "a full disk": (GOOD, ["--ledger", "/dev/full"], 4, "The disk is full: cannot write /dev/full"),
    "a full disk for the refused": ('{"ts_ms":1,"value":1}\n', ["--dead", "/dev/full"], 4,
                                    "The disk is full: cannot write /dev/full"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "more", "code", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_end_in_one_sentence_and_leave_no_file(
    body: str, more: list[str], code: int, sentence: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("m").write_text(body)
    defaults = ["--ledger", "out.csv", "--dead", "dead", "--unsigned"]
    arguments = ["m", *defaults, *more]
    if "!unsigned" in arguments:
        arguments = [one for one in arguments if one not in ("--unsigned", "!unsigned")]
    assert run(*arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert [path.name for path in Path().iterdir()] == ["m"]


KEY_MISTAKES = {
    "x": "keys.toml is not TOML",
    "s = 1": "s must be a secret, a table or tables, not 1",
    's = ""': "s needs a text as its secret",
    "s = [1]": "s must be a secret, a table or tables, not 1",
    '[s]\nsecret = "x"': "s needs a text as its kid",
    '[s]\nkid = "k"': "s needs a text as its secret",
    '[s]\nkid = "k"\nsecret = "x"\nfrom = 1': "s has from; known are kid, secret, valid_from",
    '[s]\nkid = "k"\nsecret = "x"\nvalid_to = "now"': "valid_to of s is now; write 2026-03-01T00",
    '[s]\nkid = "k"\nsecret = "x"\nvalid_to = 2026-03-01': "valid_to of s is 2026-03-01; write",
    '[s]\nkid="k"\nsecret="x"\n[t]\nkid="k"\nsecret="y"': "two different keys are named kid 'k'",
}


@pytest.mark.parametrize(("text", "sentence"), KEY_MISTAKES.items())
def test_mistakes_in_a_file_of_keys(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m").write_text(GOOD)
    (tmp_path / "keys.toml").write_text(text)
    assert run(tmp_path / "m", "--keys", tmp_path / "keys.toml") == 2
    assert sentence in capsys.readouterr().err
