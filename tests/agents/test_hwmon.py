"""The energy of a machine, from what its sensors show in sysfs."""

import signal
from pathlib import Path

import pytest

from agents import clock, hwmon, loop, publish
from agents.clock import Now
from agents.config import Settings
from agents.integrate import from_now, integrate, shown_value
from agents.loop import Agent, sources_of
from agents.read import read_all
from agents.sample import Sample
from agents.state import Store
from tests.agents.broker import Broker, publisher_in
from tests.agents.words import OBSERVED_MS, WALL_MS, reading

ACPI = {"name": "power_meter", "power1_average": "250000000", "power1_is_battery": "0"}
SUPPLY = {
    "name": "dps650ab", "power1_label": "pin1", "power1_input": "301000000",
    "power2_label": "pout1", "power2_input": "280000000",
}  # fmt: skip
CPU = {"name": "zenpower", "power1_label": "SVI2_P_Core", "power1_input": "90000000"}
COUNTS = {"name": "power_meter", "energy1_input": "5000000", "power1_average": "7"}


def sensors(root: Path, *shown: dict[str, str]) -> Path:
    """hwmon0, hwmon1, …, each a device of its own."""
    for number, files in enumerate(shown):
        folder = root / f"sys/class/hwmon/hwmon{number}"
        (root / f"sys/devices/dev:{number}").mkdir(parents=True)
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(f"../../../devices/dev:{number}")
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("shown", "expected", "why"),
    [
        ((ACPI,), [("power_meter dev:0 1", 250_000_000, True)], "a level"),
        ((COUNTS,), [("power_meter dev:0 1", 5_000_000, False)], "a counter is better"),
        ((CPU, SUPPLY), [("dps650ab dev:1 1", 301_000_000, True)], "what goes in, once"),
        (
            (SUPPLY, SUPPLY),
            [("dps650ab dev:0 1", 301_000_000, True), ("dps650ab dev:1 1", 301_000_000, True)],
            "both supplies",
        ),
        ((SUPPLY, ACPI), [("power_meter dev:1 1", 250_000_000, True)], "ACPI has all of it"),
        ((ACPI | {"power1_is_battery": "1"},), [], "a battery is charged from what is counted"),
        ((ACPI | {"power1_average": ""},), [], "no answer: no reading"),
        ((CPU,), [], "inside the machine"),
    ],
)
def test_what_feeds_the_machine_counts_once(
    tmp_path: Path, shown: tuple[dict[str, str], ...], expected: list[object], why: str
) -> None:
    found = hwmon.read(sensors(tmp_path, *shown))
    assert [(one.resource, one.value, one.level) for one in found] == expected, why


def level(watts: float) -> Sample:
    return Sample("machine.energy_mj", "m", round(watts * 10**6), "m power", level=True)


def counter(microjoules: int) -> Sample:
    return Sample("machine.energy_mj", "m", microjoules, "m energy", unit=1000)


@pytest.mark.parametrize(
    ("looks", "mj", "why"),
    [
        ([(0, level(200)), (10_000, level(300))], 3_000_000, "300 W for 10 s; what was before"),
        ([(0, level(200)), (3, level(1 / 3)), (6, level(1 / 3))], 1, "no fraction is lost"),
        ([(0, level(200)), (16_000, level(300))], 0, "nobody saw these 16 s"),
        ([(0, level(200)), (9_000, level(10**9)), (10_000, level(100))], 1_000_000, "no gigawatt"),
        ([(0, counter(500)), (10_000, counter(2_500_500))], 2_500, "a counter: differences"),
        ([(0, counter(9_000_000)), (10_000, counter(4_000_000))], 4_000, "a reset: since zero"),
        ([(0, counter(0)), (3_600_000, counter(3_600_000_000))], 3_600_000, "seen or not"),
    ],
)
def test_energy(looks: list[tuple[int, Sample]], mj: int, why: str) -> None:
    origin = from_now("s1", "boot-1", "o1", reading(*looks[0]))
    for at_ms, sample in looks:
        origin, _ = integrate(origin, reading(at_ms, sample), OBSERVED_MS)
    assert shown_value(origin, ("machine.energy_mj", "m")) == mj, why


def test_an_agent_looks_at_power_between_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute of its loop on a clock that the test turns: 250 W, then 350 W."""
    monkeypatch.setattr(publish, "Producer", Broker().client)
    now = [600_000]
    monkeypatch.setattr(clock, "up_ms", lambda: now[0])
    monkeypatch.setattr(clock, "now", lambda: Now(WALL_MS + now[0], now[0]))

    def pass_time(seconds: float) -> signal.Signals | None:
        now[0] += max(1, round(seconds * 1000))
        if now[0] >= 630_000:
            (tmp_path / "sys/class/hwmon/hwmon0/power1_average").write_text("350000000")
        return None

    monkeypatch.setattr(loop, "pending", pass_time)
    sensors(tmp_path, ACPI)
    chosen = Settings("s1", root=tmp_path, state=tmp_path)
    sources = sources_of(chosen)
    first = read_all(sources, clock.now())
    agent = Agent(
        chosen,
        sources,
        Store(tmp_path),
        publisher_in(tmp_path),
        from_now("s1", "boot-1", "o1", first),
    )
    agent.report(first)
    assert agent.look_ms == loop.POWER_MS
    agent.wait()
    agent.report(read_all(sources, clock.now()))
    passed_ms = now[0] - 600_000
    assert passed_ms > 30_000
    sum_mj = shown_value(agent.origin, ("machine.energy_mj", "power_meter dev:0 1"))
    assert sum_mj == 250 * 20_000 + 350 * (passed_ms - 20_000), "looks at 610, 620, 630, … s"
