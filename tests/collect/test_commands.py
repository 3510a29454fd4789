"""The commands as they are called: a look, a service on a real broker, and mistakes in the file."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from rackmeter.collect.config import Snmp, read, ring, switches
from rackmeter.errors import ConfigError
from tests.collect import snmpd

FILE = """\
bootstrap = "{bootstrap}"
topic = "{topic}"
keys = "{folder}"
state = "{folder}/state"
interval = 0.3
[[switch]]
name = "sw-1"
host = "127.0.0.1"
port = {port}
version = "2c"
community_file = "{folder}/community"
[switch.ports]
"lo" = "s1.switch"
"""


def written(folder: Path, port: int, bootstrap: str = "127.0.0.1:9", topic: str = "t") -> Path:
    secrets = {"community": snmpd.COMMUNITY, "s1.switch.key": 'kid = "k1"\nsecret = "' + "ab" * 16}
    for name, text in secrets.items():
        (folder / name).write_text(text + ('"\n' if "key" in name else "\n"))
        (folder / name).chmod(0o600)
    file = folder / "snmp.toml"
    file.write_text(FILE.format(bootstrap=bootstrap, topic=topic, folder=folder, port=port))
    return file


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rackmeter", "collect", "snmp", *map(str, arguments)]


def test_a_look_and_a_service(tmp_path: Path, bootstrap: str, topic_prefix: str) -> None:
    """Counters begin at zero, grow, and a second run goes on with the first one's origin."""
    port, topic = snmpd.free_udp_port(), f"{topic_prefix}.collected"
    file = written(tmp_path, port, bootstrap, topic)
    with snmpd.running(tmp_path, port):
        time.sleep(1)
        look = subprocess.run(
            command("--config", file, "--once", "--json"),
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        (shown,) = json.loads(look.stdout)
        assert (shown["server"], shown["value"]) == ("s1.switch", [0, 0])
        assert shown["resource"] == ["sw-1/lo", "sw-1/lo"]
        assert not (tmp_path / "state").exists(), "a look leaves nothing behind"
        for _ in range(2):
            running = subprocess.Popen(command("--config", file))
            time.sleep(8)
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
    reports = arrived(bootstrap, topic)
    assert {one["origin"] for one in reports} == {reports[0]["origin"]}
    assert [one["seq"] for one in reports] == sorted({one["seq"] for one in reports})
    assert len(reports) > 3


def arrived(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found, until = [], time.monotonic() + 30
    while time.monotonic() < until:
        message = consumer.poll(3)
        if message is not None and message.error() is None:
            found.append(json.loads(message.value() or b""))
        elif found:
            break
    consumer.close()
    return found


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('version = "2c"', 'version = "1"', "switch.0.version: Input should be '2c' or '3'"),
        ("port =", "prot =", "switch.0.prot: Extra inputs are not permitted"),
        ('version = "2c"', 'version = "3"', "switch sw-1: version 3 needs user"),
        ("/community", "/absent", "absent"),
        ('"s1.switch"', '"s 1"', "switch.0.ports.lo: String should match"),
        ("[[switch]]", "[[switch]", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(
    tmp_path: Path, was: str, now: str, said: str
) -> None:
    file = written(tmp_path, 161)
    file.write_text(file.read_text().replace(was, now))
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")) as caught:
        switches(read(file, Snmp))
    assert "\n" not in str(caught.value)


def test_each_server_signs_with_its_own_key(tmp_path: Path) -> None:
    said = read(written(tmp_path, 161), Snmp)
    made = ring(said, frozenset({"s1.switch"}))
    key = made.key_of("s1.switch")
    assert key is not None
    assert (key.server, made.key_of("s2.switch")) == ("s1.switch", None)
    with pytest.raises(ConfigError, match=r"s2\.switch\.key"):
        ring(said, frozenset({"s1.switch", "s2.switch"}))
