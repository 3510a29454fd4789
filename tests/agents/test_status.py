"""What an agent says of itself: over its socket, to systemd, and after SIGHUP."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents import status
from agents.status import Board, ask, is_well, text
from agents.systemd import Watchdog
from schemas.errors import DependencyError
from tests.fix_agents import Agents, FakeMachine

AT_MS = 1_790_000_000_000
WELL: dict[str, Any] = {
    "at_ms": AT_MS,
    "pid": 7,
    "server": "ax-017",
    "origin": "o1",
    "interval_ms": 60_000,
    "reading": {"seq": 412, "at_ms": AT_MS - 30_000, "series": 24},
    "unsaved": "",
    "spool": {
        "reports": 0, "bytes": 0, "bytes_max": 2**24, "thinned": 0, "lost_bytes": 0, "failing": "",
    },
    "acknowledged": {"origin": "o1", "seq": 412, "read_at_ms": AT_MS, "at_ms": AT_MS - 29_000},
    "clock_ahead_ms": -1_250,
    "refused": "",
    "broker": "kafka:9092",
    "topic": "usage.reports",
    "kid": "ax-017.1a2b3c4d",
}  # fmt: skip


def ask_as_a_process(state: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agents", "status", "--state", str(state), *more],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


def test_an_agent_that_is_well() -> None:
    assert is_well(WELL)
    assert text(WELL, AT_MS) == (
        "server        ax-017 · key ax-017.1a2b3c4d · pid 7\n"
        "last reading  report 412, 24 series, 30 s ago\n"
        "acknowledged  report 412, 29 s ago\n"
        "to            usage.reports at kafka:9092\n"
        "waiting       0 reports, 0.0 of 16 MiB\n"
        "clock         -1.2 s against the broker's\n"
        "state         saved\n"
        "broker        takes reports\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "well", "line"),
    [
        ("refused", "no broker answers at h:1", False, "broker        no broker answers at h:1"),
        ("unsaved", "the disk is full", False, "state         the disk is full"),
        ("spool", {**WELL["spool"], "failing": "Input/output error"}, False,
         "state         Input/output error"),
        ("spool", {**WELL["spool"], "reports": 9, "bytes": 2**20, "thinned": 4}, True,
         "waiting       9 reports, 1.0 of 16 MiB; 4 gave way, totals are not affected"),
        ("acknowledged", None, True, "acknowledged  none yet"),
        ("clock_ahead_ms", None, True, "clock         not known: the broker does not date reports"),
        ("clock_ahead_ms", 7_200_000, True, "clock         +7200.0 s against the broker's"),
        ("at_ms", AT_MS - 600_000, True, "The agent has not moved for 10 min."),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be(name: str, value: object, well: bool, line: str) -> None:
    document = {**WELL, name: value}
    assert is_well(document) is well
    assert line in text(document, AT_MS).splitlines()


def test_the_socket_is_the_owners_and_answers_only(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    board = Board()
    board.open(folder)
    assert stat.S_IMODE((folder / status.SOCKET).stat().st_mode) == 0o600
    board.show(WELL)
    assert ask(folder) == WELL, "however deep the folder"
    board.close()
    with pytest.raises(DependencyError, match=r"no agent answers in .*systemctl start"):
        ask(folder)


def test_who_asks_and_does_not_read_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.1)
    monkeypatch.chdir(tmp_path)
    board = Board()
    board.open(tmp_path)
    board.show({"text": "x" * 2**20})
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(status.SOCKET)
        time.sleep(0.3)
        monkeypatch.setattr(status, "TIMEOUT_S", 5.0)
        assert len(ask(tmp_path)["text"]) == 2**20
    board.close()


def test_nobody_to_ask(tmp_path: Path) -> None:
    done = ask_as_a_process(tmp_path / "none")
    assert done.returncode == 4
    assert "no agent answers" in done.stderr


class Systemd:
    """Its end of the notify socket."""

    def __init__(self, inlet: socket.socket) -> None:
        self._inlet = inlet
        self.said: list[str] = []

    def heard(self, wanted: str, times: int = 1) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self._inlet.recv(4096).decode().split("\n")
        return sum(one.startswith(wanted) for one in self.said) >= times


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inlet:
        inlet.bind(str(tmp_path / "notify"))
        inlet.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Systemd(inlet)


def test_a_service_from_ready_to_stopping(
    agents: Agents, fake_machine: FakeMachine, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY, signs of life, what it is doing, a reload, the end; and the same over the socket."""
    agents.root = fake_machine.root
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    child = agents.start("--interval", "3600")
    agents.until(lambda: systemd.heard("READY=1"))
    agents.until(lambda: systemd.heard("WATCHDOG=1", 3))
    agents.until(lambda: systemd.heard("STATUS=delivering; 0 reports wait"))
    done = ask_as_a_process(agents.folder / "state", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["server"], found["pid"], found["kid"]) == ("s1", child.pid, "k1")
    assert (found["reading"]["seq"], found["acknowledged"]["seq"]) == (1, 1)
    assert "broker        takes reports" in ask_as_a_process(agents.folder / "state").stdout
    systemd.said.clear()
    child.send_signal(signal.SIGHUP)
    agents.until(lambda: systemd.heard("READY=1"))
    assert [one.partition("=")[0] for one in systemd.said if "WATCHDOG" not in one][:3] == [
        "RELOADING", "MONOTONIC_USEC", "READY",
    ]  # fmt: skip
    said = agents.stop(child)
    assert "the settings were read again; reports are signed with key k1" in said
    assert systemd.heard("STOPPING=1")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda key: key.chmod(0o644), "every user here can read or write the key"),
        (lambda key: key.chmod(0o620), "its group can replace the key"),
        (lambda key: os.chown(key, 12345, 0), "the key belongs to user 12345"),
        (lambda key: key.unlink(), "the key file cannot be read"),
        (lambda key: key.write_text('kid = "k2"\nsecret = "00"\n'), "secret has 1 bytes"),
        (lambda key: key.write_text('kid = "k"\nserver = "s9"\nsecret = "' + "00" * 32 + '"\n'),
         "the key is for server 's9'"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_leaves_the_former_in_force(
    agents: Agents, fake_machine: FakeMachine, spoil: Any, sentence: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    agents.root = fake_machine.root
    child = agents.start("--interval", "3600")
    agents.until(lambda: agents.seq() == 1)
    spoil(agents.folder / "key")
    child.send_signal(signal.SIGHUP)
    child.send_signal(signal.SIGUSR1)
    agents.until(lambda: agents.seq() == 2)
    said = agents.stop(child)
    assert child.returncode == 0
    assert "are not taken; the former hold" in said
    assert sentence in said
    assert {dict(message.headers() or [])["kid"] for message in agents.sent()} == {b"k1"}


def test_another_watchdog_is_not_fed() -> None:
    assert Watchdog({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 7).every_ms == 0
    assert Watchdog({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 7).every_ms == 1000
    assert Watchdog({"WATCHDOG_USEC": "soon"}, 7).every_ms == 0
