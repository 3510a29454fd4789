"""Chassis by Redfish, from a real HTTPS server: which figures are taken, from whom, and once."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.integrate import shown_value
from rackmeter.collect.config import Redfish, controllers, read
from rackmeter.collect.redfish import Bmc, Login, Reads, amount, links, trusting
from rackmeter.collect.service import Collector
from rackmeter.collect.source import Seen
from rackmeter.errors import ConfigError
from tests.collect import bmc
from tests.collect.bmc import ROOT, Controller, ref

SELF = {"Power": ref(f"{ROOT}/1/Power")}
METRICS = {"EnvironmentMetrics": ref(f"{ROOT}/1/EnvironmentMetrics")}
SUBSYSTEM = {"PowerSubsystem": ref(f"{ROOT}/1/PowerSubsystem")}
INSIDE: dict[str, Any] = {
    "Links": {"ContainedBy": ref(f"{ROOT}/1")},
    "Power": ref(f"{ROOT}/gpu/Power"),
}
NESTED: dict[str, Any] = {"1": SELF, "gpu": INSIDE}
OLD = {**bmc.chassis("1", **{"1": SELF}), **bmc.power("1", 344.5)}


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    with bmc.running(tmp_path, OLD) as here:
        yield here


def asked(here: Controller, reads: Reads = "power", **given: Any) -> Bmc:
    login = Login(bmc.USER, bmc.PASSWORD, trusting(None, here.fingerprint), here.fingerprint)
    return Bmc("b1", "127.0.0.1", here.port, login, reads, **({"server": "s1.bmc"} | given))


def look(one: Bmc) -> Seen:
    return asyncio.run(one.look())


def values(seen: Seen) -> dict[tuple[str, str], int]:
    return {
        (server, one.resource): one.value for server, found in seen.samples.items() for one in found
    }


@pytest.mark.parametrize(
    ("tree", "reads", "expected", "why"),
    [
        (OLD, "power", {"b1/1": 344_500_000}, "the whole chassis, not its processors"),
        (
            {**bmc.chassis("1", **{"1": METRICS | SELF}), **bmc.environment("1", 374),
             **bmc.power("1", 344)},
            "power", {"b1/1": 374_000_000}, "the newer place first",
        ),
        (
            {**bmc.chassis("1", **{"1": METRICS | SELF}), **bmc.environment("1", None),
             **bmc.power("1", 344)},
            "power", {"b1/1": 344_000_000}, "null there: the other",
        ),
        (
            {**bmc.chassis("1", **{"1": METRICS}),
             **bmc.environment("1", 374, EnergykWh=325.675)},
            "energy", {"b1/1": 1_172_430_000_000}, "a counter in kWh, exact",
        ),
        (
            {**bmc.chassis("1", **{"1": METRICS}),
             **bmc.environment("1", 374, EnergykWh=1, EnergyJoules=3_600_123.5)},
            "energy", {"b1/1": 3_600_123_500}, "joules are finer",
        ),
        (
            {**bmc.chassis("1", **{"1": SUBSYSTEM}), **bmc.supplies("1", 120.25, None, 130)},
            "power", {"b1/1/PSU0": 120_250_000, "b1/1/PSU2": 130_000_000}, "each supply",
        ),
        (
            {**bmc.chassis("1", "gpu", **NESTED), **bmc.power("1", 900),
             **bmc.power("gpu", 700)},
            "power", {"b1/1": 900_000_000}, "what is inside is in it",
        ),
        (
            {**bmc.chassis("1", "gpu", gpu=INSIDE), **bmc.power("gpu", 700)},
            "power", {"b1/gpu": 700_000_000}, "what is around it shows nothing",
        ),
    ],
)  # fmt: skip
def test_what_a_chassis_takes_counts_once(
    tmp_path: Path, tree: dict[str, Any], reads: Reads, expected: dict[str, int], why: str
) -> None:
    with bmc.running(tmp_path, tree) as here:
        seen = look(asked(here, reads))
    assert not seen.said
    assert {name: value for (_, name), value in values(seen).items()} == expected, why
    [found] = seen.samples.values()
    assert {one.level for one in found} == {reads == "power"}


def test_an_enclosure_has_a_server_in_each_chassis(tmp_path: Path) -> None:
    blades = {name: {"Power": ref(f"{ROOT}/{name}/Power")} for name in ("Blade1", "Blade2", "Fan")}
    tree = bmc.chassis(*blades, **blades)
    for watts, name in enumerate(blades):
        tree |= bmc.power(name, watts)
    with bmc.running(tmp_path, tree) as here:
        seen = look(asked(here, server="", chassis={"Blade1": "s1.bmc", "Blade2": "s2.bmc"}))
    assert values(seen) == {("s1.bmc", "b1/Blade1"): 0, ("s2.bmc", "b1/Blade2"): 1_000_000}


def test_places_are_looked_up_once_and_again_after_a_failure(controller: Controller) -> None:
    one = asked(controller)
    look(one)
    before = len(controller.asked)
    assert not look(one).said
    assert controller.asked[before:] == [f"{ROOT}/1/Power"]
    del controller.tree[f"{ROOT}/1/Power"]
    assert "answers 404 for /redfish/v1/Chassis/1/Power" in look(one).said
    controller.tree |= bmc.power("1", 5)
    assert values(look(one)) == {("s1.bmc", "b1/1"): 5_000_000}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "other"}, "it refuses user meter or the password"),
        ({"fingerprint": "00" * 32}, "another fingerprint"),
        ({"fingerprint": "", "trust": trusting(None, "")}, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_who_cannot_be_trusted_is_said_and_told_nothing(
    controller: Controller, changed: dict[str, Any], said: str
) -> None:
    one = asked(controller)
    seen = look(replace(one, login=replace(one.login, **changed)))
    assert not seen.samples
    assert seen.said.startswith("controller b1 at 127.0.0.1: ")
    assert said in seen.said
    assert bmc.PASSWORD not in seen.said
    assert bool(controller.passwords) == ("password" in changed)


def test_an_authority_vouches_for_a_name(controller: Controller) -> None:
    trust = trusting(str(controller.certificate), "")
    one = asked(controller)
    assert not look(replace(one, login=Login(bmc.USER, bmc.PASSWORD, trust))).said


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        (ROOT, b"<html>", "Expecting value"),
        (ROOT, b"[1]", "is not an object"),
        (ROOT, b" " * (2**20 + 1), "more than 1 MiB"),
        (f"{ROOT}/1/Power", {"PowerControl": []}, "shows no power of s1.bmc"),
        (f"{ROOT}/1/Power", {"PowerControl": [{"PowerConsumedWatts": -5}]}, "shows no power"),
        (f"{ROOT}/1/Power", {"PowerControl": [{"PowerConsumedWatts": "5"}]}, "shows no power"),
        (f"{ROOT}/1/Power", b'{"PowerControl": [{"PowerConsumedWatts": NaN}]}', "shows no power"),
        (f"{ROOT}/1", {"Id": "1", "Power": ref("http://other/redfish/v1")}, "shows no power"),
    ],
)
def test_what_is_no_answer_is_said(
    controller: Controller, path: str, answer: object, said: str
) -> None:
    controller.tree[path] = answer
    seen = look(asked(controller))
    assert (said in seen.said, dict(seen.samples)) == (True, {}), seen.said


def test_a_controller_that_is_away_is_said(controller: Controller) -> None:
    seen = look(replace(asked(controller), port=1))
    assert seen.said == "controller b1 at 127.0.0.1: [Errno 111] Connection refused"


def test_energy_where_there_is_none_says_what_to_do() -> None:
    assert amount({"PowerWatts": {"Reading": 5}}, "energy") is None
    assert links([ref("/redfish/v1/a"), ref("/other"), {}, 5]) == ["/redfish/v1/a"]


# -- as configured, and through the collector ------------------------------------------------------

FILE = """\
keys = "{folder}"
state = "{folder}/state"
interval = 30
[[bmc]]
name = "b1"
host = "127.0.0.1"
port = {port}
user = "meter"
password_file = "{folder}/password"
ca_file = "{folder}/bmc.pem"
server = "s1.bmc"
"""


def written(folder: Path, port: int) -> Path:
    (folder / "password").write_text(f"{bmc.PASSWORD}\n")
    (folder / "password").chmod(0o600)
    (folder / "redfish.toml").write_text(FILE.format(folder=folder, port=port))
    return folder / "redfish.toml"


def test_power_becomes_energy_and_an_outage_none(controller: Controller, tmp_path: Path) -> None:
    """344.5 W between looks that are near; nothing for more than three intervals unseen."""
    said = read(written(tmp_path, controller.port), Redfish)
    collector = Collector(said, controllers(said), "boot-1")
    for elapsed_ms, mj in (
        (0, 0),
        (30_000, 10_335_000),
        (90_000, 41_340_000),
        (90_001, 41_340_000),
    ):
        [(server, reading)] = asyncio.run(collector.look()).items()
        before = collector.origins.get(server)
        at_up_ms = (before.at_up_ms if before else 1_000_000) + elapsed_ms
        reading = replace(reading, at_up_ms=at_up_ms)
        origin = collector.after(server, reading)
        collector.origins[server] = replace(origin, at_up_ms=at_up_ms, seq=1)
        assert shown_value(origin, ("chassis.energy_mj", "b1/1")) == mj


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('server = "s1.bmc"', "", "bmc.0: Value error, write server, or [bmc.chassis]"),
        ('user = "meter"', 'user = "meter"\nreads = "both"', "bmc.0.reads: Input should be"),
        ('user = "meter"', 'user = "meter"\nfingerprint = "ab"', "bmc.0.fingerprint: String"),
        ("/password", "/absent", "absent"),
        ("/bmc.pem", "/absent", "controller b1: "),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(
    tmp_path: Path, was: str, now: str, said: str
) -> None:
    file = written(tmp_path, 1)
    (tmp_path / "bmc.pem").write_text("")
    file.write_text(file.read_text().replace(was, now))
    with pytest.raises(ConfigError) as caught:
        controllers(read(file, Redfish))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
