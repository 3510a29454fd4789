"""A simulated topic as files: what is written is read back, and the commands agree about it."""

import json
import os
from pathlib import Path

import pytest

from rackmeter.capture import read_capture
from rackmeter.capture_keys import read_keys
from rackmeter.cli import main as cli
from rackmeter.fleet import captured
from rackmeter.fleet import truth as truth_file
from rackmeter.fleet.log import registered_ms
from tests.rackmeter.test_fleet_log import log_of


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    log = log_of(4, hours=6)
    captured.write(log, tmp_path / "new")
    folder = tmp_path / "new"
    assert list(read_capture(folder / captured.REPORTS)) == log.messages
    assert truth_file.read(folder / captured.TRUTH) == log.truth
    verdicts = (folder / captured.VERDICTS).read_text(encoding="utf-8").split()
    assert verdicts == [verdict.value for verdict in log.verdicts]
    ring, registered = read_keys(folder / captured.KEYS)
    assert [ring.get(key.kid) for key in log.keys] == list(log.keys)
    assert registered == registered_ms(log.keys)


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the person who runs the tests, and a folder of one's own."""
    for name in [name for name in os.environ if name.startswith("RACKMETER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


SMALL = ["--hours", "4", "--seed", "5"]
METER = ["usage", "meter", "sim/reports.ndjson", "--keys", "sim/keys.toml", "--ledger", "u.csv"]
AUDIT = ["fleet", "audit", "u.csv", "--truth", "sim/truth.jsonl", "--json"]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("stamps", ["append", "create"])
def test_simulate_meter_audit(stamps: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The way support goes; one unit too many ends it with exit code 3."""
    simulate = ["fleet", "simulate", "--out", "sim", "--timestamps", stamps, "--json", *SMALL]
    assert cli.run(simulate) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert cli.run([*METER, "--json"]) == 0
    metered = json.loads(capsys.readouterr().out)
    for count in ("reports", "clock_corrected"):
        assert metered[count] == simulated[count] > 0
    verdicts = simulated["verdicts"]
    assert metered["accepted"] == verdicts["accepted"]
    assert metered["malformed"] == verdicts["malformed"] + verdicts["oversized"]
    assert cli.run(AUDIT) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []
    usage = Path("u.csv")
    *rows, last = usage.read_text(encoding="utf-8").splitlines()
    usage.write_text("\n".join([*rows, last + "0", ""]), encoding="utf-8")
    assert cli.run(AUDIT) == 3
    differences = json.loads(capsys.readouterr().out)["differences"]
    assert {one["figure"] for one in differences} >= {"life"}
    assert cli.run([one for one in AUDIT if one != "--json"]) == 3
    assert f"{len(differences)} figures are not what they must be" in capsys.readouterr().err


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["simulate", "--out", "x", "--adversity", "rain"], "--adversity is rain; it must be one"),
        (["simulate", "--out", "x", "--timestamps", "none"], "--timestamps is none; it must be"),
        (["simulate", "--out", "x", "--from", "2026-03-01T00:01"], "must start and end on an"),
        (["audit", "none.csv", "--truth", "none.jsonl"], "none.jsonl is no truth"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["fleet", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("x").exists()


@pytest.mark.usefixtures("apart")
def test_an_ordinary_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["fleet", "simulate", "--out", "sim", "--adversity", "none", *SMALL]) == 0
    shown = capsys.readouterr()
    assert "accepted" in shown.out
    assert "malformed" not in shown.out
    assert "messages of 9 servers are in sim/reports.ndjson" in shown.err
