"""Switch ports against a real snmpd: what it says of lo is what the kernel counts there."""

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rackmeter.collect.snmp import Engines, Login, Switch
from rackmeter.collect.source import Seen
from tests.collect import snmpd

V2C = Login(community=snmpd.COMMUNITY)
V3 = Login("", snmpd.USER, "sha256", snmpd.AUTH, "aes128", snmpd.PRIVACY)


@pytest.fixture(scope="module")
def least() -> dict[str, int]:
    """What lo has counted before snmpd looks at it, which it then does every 15 s only."""
    chatter(5_000_000)
    return {name: kernel(name) for name in ("rx", "tx")}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, least: dict[str, int]) -> Iterator[int]:
    assert least["rx"] > 5_000_000
    folder, number = tmp_path_factory.mktemp("snmpd"), snmpd.free_udp_port()
    with snmpd.running(folder, number):
        until = time.monotonic() + 20
        while look(switch(number, V2C)).said and time.monotonic() < until:
            time.sleep(0.2)
        yield number


def switch(port: int, login: Login, ports: dict[str, str] | None = None) -> Switch:
    return Switch("sw-1", "127.0.0.1", port, login, ports or {"lo": "s1.switch"})


def look(one: Switch) -> Seen:
    async def asked() -> Seen:
        try:
            return await one.look()
        finally:
            one.engines.close()

    return asyncio.run(asked())


def kernel(name: str) -> int:
    return int(Path(f"/sys/class/net/lo/statistics/{name}_bytes").read_text())


def chatter(size: int) -> None:
    """Bytes over lo."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(size // 50_000):
            sender.sendto(bytes(50_000), ("127.0.0.1", 9))


@pytest.mark.parametrize("login", [V2C, V3], ids=["v2c", "v3"])
def test_octets_are_those_of_the_kernel(port: int, login: Login, least: dict[str, int]) -> None:
    """As much as it counted before the question, at most what it counts after the answer."""
    seen = look(switch(port, login))
    assert not seen.said
    values = {one.meter: one.value for one in seen.samples["s1.switch"]}
    for meter, name in (("port.rx_bytes", "rx"), ("port.tx_bytes", "tx")):
        assert least[name] <= values[meter] <= kernel(name)
    resources = {(one.resource, one.device) for one in seen.samples["s1.switch"]}
    assert resources == {("sw-1/lo", "sw-1/lo@0")}


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (Login(community="other"), "No SNMP response"),
        (replace(V3, auth_secret="wrong-word-123"), "digest"),
        (replace(V3, user="nobody"), "nknown"),
    ],
    ids=["community", "secret", "user"],
)
def test_a_switch_that_lets_nobody_in_is_said(
    port: int, login: Login, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rackmeter.collect.snmp.TIMEOUT_S", 0.3)
    seen = look(switch(port, login))
    assert not seen.samples
    assert seen.said.startswith("switch sw-1 at 127.0.0.1: ")
    assert said in seen.said


def test_a_port_that_is_not_there_stops_no_other(port: int) -> None:
    seen = look(switch(port, V2C, {"lo": "s1.switch", "Ethernet99": "s2.switch"}))
    assert sorted(seen.samples) == ["s1.switch"]
    assert seen.said == "switch sw-1: there is no port Ethernet99"


def test_32_bit_counters_are_metered_where_looks_are_close(
    port: int, least: dict[str, int]
) -> None:
    """snmpd says that lo has 10 Mbit/s: 32 bits are half turned after 1,717 s."""
    one = switch(port, Login(community=snmpd.NARROW))
    seen = look(one)
    assert not seen.said
    rx, tx = seen.samples["s1.switch"]
    assert (rx.meter, tx.meter, rx.bits) == ("port.rx_bytes", "port.tx_bytes", 32)
    assert (rx.value - least["rx"]) % 2**32 <= kernel("rx") - least["rx"]
    assert look(one).samples["s1.switch"][0].device == rx.device, "one stretch"
    slow = look(replace(one, interval_ms=1_800_000, _target=None))
    assert not slow.samples
    assert slow.said == (
        "switch sw-1: lo is not metered: it counts in 32 bits, at 10 Mbit/s: "
        "interval must be below 1717.99"
    )


def test_many_switches_are_asked_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty that answer and ten that never do take as long as one that never does."""
    monkeypatch.setattr("rackmeter.collect.snmp.TIMEOUT_S", 1.0)
    silent = snmpd.free_udp_port()
    engines = Engines()
    all_of_them = [
        replace(switch(port if n < 30 else silent, V2C), engines=engines) for n in range(40)
    ]

    async def asked() -> list[Seen]:
        try:
            return await asyncio.gather(*(one.look() for one in all_of_them))
        finally:
            engines.close()

    began = time.monotonic()
    seen = asyncio.run(asked())
    assert [bool(one.samples) for one in seen] == [True] * 30 + [False] * 10
    assert time.monotonic() - began < 20, "one after the other: ten times three seconds"
