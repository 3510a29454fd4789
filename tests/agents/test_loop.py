"""The loop's order: a report that is not saved is not sent, and nothing it counted is lost."""

import errno
import logging
import socket
from pathlib import Path

import pytest

from agents import publish
from agents.config import Settings
from agents.integrate import Origin, from_boot
from agents.log import log
from agents.loop import Agent, sources_of
from agents.state import Store
from agents.systemd import notify
from tests.agents.broker import Broker, publisher_in
from tests.agents.words import nic, reading


class Disk(Store):
    """A state folder whose disk is full while ``full``."""

    full = False

    def save(self, origin: Origin) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save(origin)


@pytest.fixture
def said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """What the agent logs, whether or not a command before set its log up."""
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(log, "handlers", [])
    caplog.set_level(logging.INFO, log.name)
    return caplog


def test_a_full_disk_stops_reports_and_not_the_counting(
    tmp_path: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    monkeypatch.setattr(publish, "Producer", broker.client)
    disk, publisher = Disk(tmp_path), publisher_in(tmp_path)
    chosen = Settings("s1", root=tmp_path)
    first = reading(1000, nic(10))
    origin = from_boot("s1", "boot-1", "o1", first)
    agent = Agent(chosen, sources_of(chosen), disk, publisher, origin)
    agent.report(first)
    disk.full = True
    agent.report(reading(2000, nic(20)))
    agent.report(reading(3000, nic(5)))
    saved = disk.load()
    assert saved is not None
    publisher.pump()
    assert (saved.seq, len(broker.arrived)) == (1, 1)
    assert said.text.count("No space left on device") == 1, "once, not at every reading"
    disk.full = False
    agent.report(reading(4000, nic(6)))
    publisher.pump()
    assert [(one["seq"], one["value"]) for one in broker.arrived] == [(1, [10]), (2, [26])]
    assert disk.load() == agent.origin


def test_systemd_is_told_where_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
    (tmp_path / "notify").unlink()
    notify("STOPPING=1")
    assert "systemd was not told STOPPING=1" in said.text
