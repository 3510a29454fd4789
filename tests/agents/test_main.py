"""The command line: what it prints, the exit codes, and that it stays light."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agents import clock, table
from agents.config import Settings
from agents.integrate import from_boot, integrate, numbered, report
from agents.loop import sources_of
from agents.main import main
from agents.read import read_all
from agents.state import Store
from schemas.report import encode
from tests.agents.words import counted, cpu, nic, reading
from tests.fix_agents import FakeMachine, as_report

HEAVY = {
    *("asyncio", "ctypes", "faust", "numpy", "polars", "psycopg", "pydantic", "rich", "ssl"),
    *("structlog", "typer"),
}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agents.config.DEFAULT_FILE", tmp_path / "none.toml")


@pytest.mark.parametrize("verb", [(), ("run",), ("sample",), ("status",), ("enroll",), ("rotate",)])
def test_every_help_has_an_example(
    verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb, "--help"]) == 0
    assert re.search(r"example:\n  rackmeter (agent|server) \w+", capsys.readouterr().out)


def test_a_sample_is_the_report_that_would_be_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = FakeMachine(tmp_path / "root")
    machine.traffic(700, 800)
    argv = [
        "sample",
        "--json",
        "--server",
        "s1",
        "--state",
        str(tmp_path),
        "--root",
        str(machine.root),
    ]
    assert main(argv) == 0
    line = capsys.readouterr().out
    fields = json.loads(line)
    assert encode(as_report(fields)).decode() == line.rstrip("\n"), "as it goes over the wire"
    assert set(fields["meter"]) == {"cpu.busy_ms", "cpu.mode_ms", "net.rx_bytes", "net.tx_bytes"}
    assert [path.name for path in tmp_path.iterdir()] == ["root"], "a look leaves nothing behind"


def test_a_sample_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = FakeMachine(tmp_path / "root")
    machine.traffic(1_234_567, 0)
    argv = ["sample", "--server", "s1", "--state", str(tmp_path), "--root", str(machine.root)]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert re.search(r"net\.rx_bytes +eth0 +0 +By +1,234,567\n", out)
    assert "there is no earlier state" in err
    assert "no NVIDIA GPU found" in err


def test_a_nic_that_was_renamed_is_not_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes on under its first name, its raw value beside it."""
    machine = FakeMachine(tmp_path / "root")
    for name, text in (("address", "02:00:00:00:00:01"), ("addr_assign_type", "0")):
        machine.put(f"sys/class/net/eth0/{name}", text)
    machine.put("sys/class/net/eth0/device/vendor", "")
    machine.traffic(700, 0)
    sources = sources_of(Settings("s1", root=machine.root))
    first = read_all(sources, clock.now())
    saved, _ = integrate(from_boot("s1", "boot-1", "o1", first), first, 15_000)
    Store(tmp_path).save(numbered(saved, first))
    nics = machine.root / "sys/class/net"
    (nics / "eth0").rename(nics / "ens3")
    dev = machine.root / "proc/net/dev"
    dev.write_text(dev.read_text().replace("eth0: 700", "ens3: 912"))
    argv = ["sample", "--server", "s1", "--state", str(tmp_path), "--root", str(machine.root)]
    assert main(argv) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"net\.rx_bytes +eth0 +912 +By +912\n", out)
    assert "gone" not in out


def test_a_table_says_what_is_gone() -> None:
    look = reading(2000, cpu(2))
    lines = table.text(report(counted(reading(1000, nic(500), cpu(1)), look)), look).splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["2", "gone"]


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        ([], 2, "required"),
        (["walk"], 2, "invalid choice"),
        (["run", "--count", "0"], 2, "'0' is not a whole number above 0"),
        (["run", "--interval", "0"], 2, "--interval: interval is '0'; allowed is a number"),
        (["run"], 2, "no key is given"),
        (["run", "--key-file", "/none"], 2, "/none: the key file cannot be read"),
        (["sample", "--config", "/none"], 2, "/none: there is no such configuration file"),
    ],
)
def test_mistakes_get_one_sentence(
    argv: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    assert sentence in capsys.readouterr().err


def test_a_state_that_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text(f'kid = "k"\nsecret = "{bytes(32).hex()}"\n')
    key.chmod(0o600)
    state = str(key / "below-a-file")
    assert main(["run", "--key-file", str(key), "--state", state]) == 1
    assert f"cannot keep its state in {state}" in capsys.readouterr().err


def test_the_agent_stays_light() -> None:
    """It loads nothing that the server side needs, and no NVML where no GPU is."""
    code = "import sys, agents.main; print(*{name.split('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(ran.stdout.split())
