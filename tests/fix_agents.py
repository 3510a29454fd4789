"""Fixtures: real agent processes, a machine they read whose counters a test turns, and what they
sent.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from rackmeter.topics import create_topics
from schemas.report import Report

SECRET = bytes(range(32))
PARTITIONS = 2
_DEADLINE_S = 20.0


@dataclass
class FakeMachine:
    """A /proc and /sys with one NIC, one boot id and no disk."""

    root: Path
    rx: int = 0
    tx: int = 0

    def __post_init__(self) -> None:
        self.put("proc/filesystems", "\text4\n")
        self.put("proc/self/mountinfo", "")
        self.put("sys/class/net/eth0/ifindex", "2\n")
        self.boot("boot-1")
        self.traffic(0, 0)

    def put(self, name: str, text: str) -> None:
        """At once, as the kernel shows it: a reader sees the old file or the new one."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.write_text(text)
        beside.replace(path)

    def traffic(self, rx: int, tx: int) -> None:
        self.rx, self.tx = self.rx + rx, self.tx + tx
        row = f"  eth0: {self.rx} 1 0 0 0 0 0 0 {self.tx} 1 0 0 0 0 0 0\n"
        self.put("proc/net/dev", f"head\nhead\n{row}")
        self.put("proc/stat", f"cpu  {self.rx // 1000} 0 0 0 0 0 0 0 0 0\n")

    def boot(self, boot_id: str) -> None:
        self.put("proc/sys/kernel/random/boot_id", f"{boot_id}\n")


@dataclass
class Agents:
    """Starts agents of one server on one topic and one state; ends what a test leaves running."""

    folder: Path
    bootstrap: str
    topic: str
    root: Path = Path("/")
    server: str = "s1"
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def state_file(self) -> Path:
        return self.folder / "state/agent.json"

    def argv(self, *more: str) -> list[str]:
        return [
            *(sys.executable, "-m", "agents", "run", "--server", self.server),
            *("--bootstrap", self.bootstrap, "--topic", self.topic, "--root", str(self.root)),
            *("--key-file", str(self.folder / "key"), "--state", str(self.folder / "state")),
            *more,
        ]

    def start(self, *more: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(self.argv(*more), stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child

    def finish(self, *more: str) -> str:
        """Run to the end, which must be a good one; what it said."""
        child = self.start(*more)
        _, said = child.communicate(timeout=_DEADLINE_S)
        assert child.returncode == 0, said
        return said

    def stop(self, child: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
        child.send_signal(number)
        _, said = child.communicate(timeout=_DEADLINE_S)
        return said

    def seq(self) -> int:
        """The number of the last saved report, 0 before there is one."""
        with contextlib.suppress(FileNotFoundError):
            return int(json.loads(self.state_file.read_bytes())["state"]["seq"])
        return 0

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.002)

    def sent(self) -> list[Message]:
        """Everything on the topic, in order."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "t", "enable.auto.commit": False}
        )
        try:
            return [message for part in range(PARTITIONS) for message in self._part(consumer, part)]
        finally:
            consumer.close()

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(message.value() or b"") for message in self.sent()]

    def _part(self, consumer: Consumer, part: int) -> Iterator[Message]:
        """To the end, and a little on: after a batch of several, Tansu 0.6.0 states the end as one
        past the batch's first record, though it hands out all of them.
        """
        _, end = consumer.get_watermark_offsets(TopicPartition(self.topic, part), timeout=10)
        consumer.assign([TopicPartition(self.topic, part, 0)])
        done = 0
        while message := consumer.poll(_DEADLINE_S if done < end else 0.5):
            assert message.error() is None
            done = (message.offset() or 0) + 1
            yield message
        assert done >= end


@pytest.fixture
def fake_machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "root")


@pytest.fixture
def agents(tmp_path: Path, bootstrap: str, topic_prefix: str) -> Iterator[Agents]:
    """Agents that read this machine; set ``root`` for another."""
    topic = f"{topic_prefix}usage.reports"
    create_topics(bootstrap, {topic: PARTITIONS})
    key = tmp_path / "key"
    key.write_text(f'kid = "k1"\nsecret = "{SECRET.hex()}"\n')
    key.chmod(0o600)
    made = Agents(tmp_path, bootstrap, topic)
    yield made
    for child in made.children:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        if child.stderr:
            child.stderr.close()


def values(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    return dict(
        zip(zip(report["meter"], report["resource"], strict=True), report["value"], strict=True)
    )


def as_report(fields: dict[str, Any]) -> Report:
    """The fields of a body as the type that encodes it."""
    listed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
        if name != "v"
    }
    return Report(**listed)
