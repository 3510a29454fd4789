"""Exporters: which lines become which samples, and a real one over HTTP."""

import asyncio
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from agents.integrate import from_now, integrate, shown_value
from agents.sample import Reading
from rackmeter.collect.config import RuleTable
from rackmeter.collect.scrape import Exporter, Rule, samples
from tests.agents.words import WALL_MS

TEXT = """\
# TYPE node_network_receive_bytes_total counter
node_network_receive_bytes_total{device="eth0",instance="ax-1"} 1.5e+10
node_network_receive_bytes_total{device="lo",instance="ax-1"} 7
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="user"} 12.345678
# TYPE volume_used_bytes gauge
volume_used_bytes{volume="v1"} 2097152
volume_used_bytes{volume="v2"} NaN
volume_used_bytes{volume="v3"} -1
"""
NIC = Rule(
    "node_network_receive_bytes_total", "net.rx_bytes", "{instance}.x", "{device}",
    where={"device": "eth0"},
)  # fmt: skip
CPU = Rule("node_cpu_seconds_total", "cpu.mode_ms", "ax-1.x", "{mode}", Decimal(1000))
VOLUME = Rule("volume_used_bytes", "disk.used_mib_s", "san", "{volume}")


@pytest.mark.parametrize(
    ("rule", "expected", "why"),
    [
        (NIC, {("ax-1.x", "net.rx_bytes", "eth0", 15 * 10**9)}, "labels pick and name"),
        (CPU, {("ax-1.x", "cpu.mode_ms", "user", 12_345)}, "whole units, floored"),
        (VOLUME, {("san", "disk.used_mib_s", "v1", 2**21)}, "neither NaN nor less than nothing"),
        (Rule("absent_total", "net.rx_bytes", "s"), set(), "not shown: no reading"),
    ],
)
def test_lines_become_samples(rule: Rule, expected: set[object], why: str) -> None:
    found = {
        (server, one.meter, one.resource, one.value)
        for server, of_server in samples(TEXT, [rule], "e")
        for one in of_server
    }
    assert found == expected, why


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("volume_used_bytes", "disk.used_mib_s", "{rack}"), "no label 'rack'"),
        (Rule("node_network_receive_bytes_total", "net.rx_bytes", "s"), "twice; add labels"),
    ],
)
def test_a_rule_that_does_not_fit_is_said(rule: Rule, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(samples(TEXT, [rule], "e"))


def test_a_real_exporter_that_starts_again() -> None:
    """What it showed before and since its reset; a gauge fills the time between two looks."""
    rules = (
        Rule("tape_bytes_total", "port.rx_bytes", "s1.x"),
        Rule("tape_used_bytes", "disk.used_mib_s", "s1.x", "tape"),
    )
    readings = []
    for at, value in enumerate((500, 700, 30)):
        registry = CollectorRegistry()
        Counter("tape_bytes", "moved", registry=registry).inc(value)
        Gauge("tape_used_bytes", "used", registry=registry).set(2**20)
        server, thread = start_http_server(0, "127.0.0.1", registry)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        seen = asyncio.run(Exporter("tape", url, rules, frozenset({"s1.x"})).look())
        server.shutdown()
        server.server_close()
        thread.join()
        assert not seen.said
        up_ms, meters = 60_000 * at, frozenset(rule.meter for rule in rules)
        readings.append(Reading(WALL_MS + up_ms, up_ms, seen.samples["s1.x"], meters))
    origin = from_now("s1.x", "b", "o", readings[0])
    for one in readings:
        origin, _ = integrate(origin, one, 15_000)
    assert origin.sums["port.rx_bytes", ""] == 200 + 30
    assert origin.sums["disk.used_mib_s", "tape"] == 2**20 * 120_000


def test_power_is_integrated_and_a_counter_of_energy_is_not() -> None:
    """250.5 W for half a minute, and beside it 7,515 J of a processor, both in millijoules."""
    rules = (
        Rule("ipmi_watts", "chassis.energy_mj", "s", "c", Decimal(10**6), level=True),
        Rule("rapl_joules_total", "cpu.energy_mj", "s", "package-0", Decimal(1000)),
    )
    readings = []
    for up_ms, joules in ((0, 1000), (30_000, 8515)):
        text = f"ipmi_watts 250.5\nrapl_joules_total {joules}\n"
        [(_, found)] = samples(text, rules, "e")
        meters = frozenset(rule.meter for rule in rules)
        readings.append(Reading(WALL_MS + up_ms, up_ms, tuple(found), meters))
    origin = from_now("s", "b", "o", readings[0])
    for one in readings:
        origin, _ = integrate(origin, one, 90_000)
    assert shown_value(origin, ("chassis.energy_mj", "c")) == 7_515_000
    assert shown_value(origin, ("cpu.energy_mj", "package-0")) == 7_515_000


def test_a_level_of_a_meter_that_has_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level is for power, and net\.rx_bytes counts no energy"):
        RuleTable(metric="x", meter="net.rx_bytes", server="s", level=True)


def test_an_exporter_that_is_away_or_tells_of_others_is_said() -> None:
    away = asyncio.run(Exporter("e", "http://127.0.0.1:9", (NIC,), frozenset({"s"})).look())
    assert not away.samples
    assert away.said.startswith("exporter e at http://127.0.0.1:9: ")
