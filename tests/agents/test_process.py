"""The real agent against the real broker: what is sent, signals, kills, reboots, a broker that is
away.
"""

import json
import random
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloudevents.core.bindings.kafka import KafkaMessage
from cloudevents.core.bindings.kafka import from_binary as from_binary_event
from cloudevents.core.formats.json import JSONFormat

from schemas.envelope import Key, headers
from schemas.report import encode
from tests.fix_agents import SECRET, Agents, FakeMachine, as_report, values

RX = ("net.rx_bytes", "eth0")


def test_a_report_as_it_lies_on_the_topic(agents: Agents, fake_machine: FakeMachine) -> None:
    agents.root = fake_machine.root
    said = agents.finish("--count", "2", "--interval", "0.05")
    assert "new origin" in said
    assert said.count("no NVIDIA GPU found") == 1
    first, second = agents.sent()
    for message in (first, second):
        body = message.value() or b""
        report = as_report(json.loads(body))
        assert message.key() == b"s1"
        assert encode(report) == body, "canonical"
        key = Key("k1", "s1", SECRET)
        assert message.headers() == headers(report, body, key, "dev", agents.topic)
        assert 0 <= report.sent_up_ms - report.at_up_ms < 5_000


def test_headers_are_cloudevents(agents: Agents, fake_machine: FakeMachine) -> None:
    """The reference library reads them; it is the oracle."""
    agents.root = fake_machine.root
    agents.finish("--count", "1")
    (message,) = agents.sent()
    # It reads every header as UTF-8, and the signature is bytes: it is given those of its own.
    ours: list[tuple[str, bytes]] = message.headers() or []  # type: ignore[assignment]
    own = dict(pair for pair in ours if pair[0].startswith(("ce_", "content-")))
    event = from_binary_event(
        KafkaMessage(own, message.key(), message.value() or b""), JSONFormat()
    )
    (report,) = agents.reports()
    assert event.get_id() == f"s1/{report['origin']}/1"
    assert event.get_source() == "/servers/s1"
    assert event.get_type() == "dev.rackmeter.usage.report.v1"
    assert event.get_specversion() == "1.0"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == report
    at = event.get_time()
    assert at is not None
    assert at == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=report["at_ms"])


def test_this_machine_is_metered_exactly(agents: Agents) -> None:
    """Loopback: the sum's difference is the kernel's, to the byte where nothing else passed
    meanwhile.

    A reading on demand is saved before anything is sent, so a checker may read the kernel around
    it.
    """
    lo = Path("/sys/class/net/lo/statistics/rx_bytes")
    child = agents.start("--loopback", "--interval", "3600")
    agents.until(lambda: agents.seq() == 1)

    def bracketed() -> tuple[int, int, int]:
        """A report's number, and the kernel's values around it; equal ones if a few tries find
        them.
        """
        low, high = 0, 1
        for _ in range(10):
            time.sleep(0.3)  # what the last report caused has passed
            low = int(lo.read_text())
            on_demand(agents, child)
            high = int(lo.read_text())
            if low == high:
                break
        return agents.seq(), low, high

    first, low, high = bracketed()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        client.sendall(bytes(50_000))
    last, later_low, later_high = bracketed()
    agents.stop(child)
    assert child.returncode == 0
    by_seq = {report["seq"]: values(report)["net.rx_bytes", "lo"] for report in agents.reports()}
    metered = by_seq[last] - by_seq[first]
    assert metered > 50_000
    assert later_low - high <= metered <= later_high - low


def test_a_kill_at_any_moment_loses_and_repeats_nothing(
    agents: Agents, fake_machine: FakeMachine
) -> None:
    """kill -9 again and again while traffic flows; no number has two contents, the sum is the
    kernel's.
    """
    agents.root = fake_machine.root
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    agents.finish("--count", "1")
    for _ in range(6):
        before = agents.seq()
        child = agents.start("--interval", "0.05")
        agents.until(lambda: agents.seq() != before)  # noqa: B023  # called in this turn only
        until = time.monotonic() + chance.choice([chance.uniform(0, 0.3), chance.uniform(1, 2)])
        while time.monotonic() < until:
            fake_machine.traffic(chance.randrange(10**6), chance.randrange(10**6))
            time.sleep(chance.uniform(0, 0.01))
        child.kill()
        child.wait()
    agents.finish("--count", "1")
    reports = agents.reports()
    contents: dict[int, object] = {}
    for report in reports:
        content = (report["at_ms"], report["at_up_ms"], report["value"])
        assert contents.setdefault(report["seq"], content) == content
    assert {report["origin"] for report in reports} == {reports[0]["origin"]}
    ordered = [values(report)[RX] for report in sorted(reports, key=lambda one: one["seq"])]
    assert ordered == sorted(ordered)
    assert ordered[0] == 0, "before the first reading nothing is known"
    assert ordered[-1] == fake_machine.rx
    last = max(reports, key=lambda one: one["seq"])
    assert values(last)["net.tx_bytes", "eth0"] == fake_machine.tx
    assert len(contents) > 2, "reports got through between the kills"


def test_stopping_takes_no_reading(agents: Agents, fake_machine: FakeMachine) -> None:
    agents.root = fake_machine.root
    child = agents.start("--interval", "3600")
    agents.until(lambda: agents.seq() == 1)
    fake_machine.traffic(5, 5)
    agents.stop(child, signal.SIGTERM)
    assert (child.returncode, agents.seq()) == (0, 1)
    child = agents.start("--interval", "3600")
    agents.until(lambda: agents.seq() == 2)
    agents.stop(child, signal.SIGINT)
    assert child.returncode == 0
    assert [(report["seq"], values(report)[RX]) for report in agents.reports()] == [
        (1, 0), (1, 0), (2, 5),
    ], "a started agent sends the saved report once more"  # fmt: skip


def test_after_a_reboot(agents: Agents, fake_machine: FakeMachine) -> None:
    """A new origin from boot; the last report before it is sent once more, in case it never
    arrived.
    """
    agents.root = fake_machine.root
    agents.finish("--count", "1")
    fake_machine.traffic(70, 0)
    agents.finish("--count", "1")
    fake_machine.boot("boot-2")
    said = agents.finish("--count", "1")
    assert "booted since" in said
    old, _, last, again, new = agents.reports()
    assert (old["origin"], last["seq"]) == (again["origin"], again["seq"])
    same = ("at_ms", "at_up_ms", "since_ms", "meter", "resource", "value")
    assert [last[name] for name in same] == [again[name] for name in same]
    assert again["sent_up_ms"] > last["sent_up_ms"], "on that boot's clock, carried on"
    assert (new["seq"], values(new)[RX]) == (1, 70)
    assert new["since_ms"] == new["at_ms"] - new["at_up_ms"]


def test_a_lost_state_starts_from_here(agents: Agents, fake_machine: FakeMachine) -> None:
    agents.root = fake_machine.root
    fake_machine.traffic(70, 0)
    agents.finish("--count", "1")
    agents.state_file.write_bytes(agents.state_file.read_bytes()[:-9])
    said = agents.finish("--count", "1")
    assert "cannot be used: it is torn" in said
    first, second = agents.reports()
    assert first["origin"] != second["origin"]
    assert (second["seq"], values(second)[RX], second["since_ms"]) == (1, 0, second["at_ms"])


def test_a_broker_that_is_away_stops_no_counting(agents: Agents, fake_machine: FakeMachine) -> None:
    agents.root = fake_machine.root
    real, agents.bootstrap = agents.bootstrap, "127.0.0.1:1"
    child = agents.start("--interval", "0.05")
    agents.until(lambda: agents.seq() >= 3)
    fake_machine.traffic(9, 0)
    child.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    said = agents.stop(child)
    assert child.returncode == 130, "told twice"
    assert said.count("reports cannot be sent") == 1
    child = agents.start("--require-broker")
    _, said = child.communicate(timeout=20)
    assert child.returncode == 4
    assert "no Kafka broker answers at 127.0.0.1:1" in said
    agents.bootstrap = real
    agents.finish("--count", "1")
    assert values(agents.reports()[-1])[RX] == 9


def test_what_is_gone_while_the_broker_is_away_is_shown_until_it_has_it(
    agents: Agents, fake_machine: FakeMachine
) -> None:
    """Counted, never delivered, pulled out, and the agent killed: the next one tells."""
    agents.root = fake_machine.root
    agents.finish("--count", "1")
    fake_machine.traffic(70, 0)
    _killed_after_a_report(agents)
    fake_machine.put("proc/net/dev", "head\nhead\n")
    _killed_after_a_report(agents)
    child = agents.start("--interval", "0.05")
    agents.until(lambda: not json.loads(agents.state_file.read_bytes())["state"]["gone"])
    agents.stop(child)
    shown = [values(report).get(RX) for report in agents.reports()]
    assert (shown[0], max(filter(None, shown)), shown[-1]) == (0, 70, None)


def test_what_a_boot_did_not_deliver_waits_through_the_next_ones(
    agents: Agents, fake_machine: FakeMachine
) -> None:
    agents.root = fake_machine.root
    agents.finish("--count", "1")
    fake_machine.traffic(70, 0)
    _killed_after_a_report(agents)
    for boot in (2, 3):
        fake_machine.boot(f"boot-{boot}")
        _killed_after_a_report(agents)
    agents.finish("--count", "1")
    highest: dict[str, int] = {}
    for report in agents.reports():
        highest[report["origin"]] = max(values(report)[RX], highest.get(report["origin"], 0))
    assert list(highest.values()) == [70] * 3


def _killed_after_a_report(agents: Agents) -> None:
    """An agent that no broker answers, killed once it has saved."""
    real, agents.bootstrap = agents.bootstrap, "127.0.0.1:1"
    before = agents.state_file.read_bytes()
    child = agents.start("--interval", "3600")
    agents.until(lambda: agents.state_file.read_bytes() != before)
    child.kill()
    child.wait()
    agents.bootstrap = real


def test_two_agents_on_one_state(agents: Agents, fake_machine: FakeMachine) -> None:
    agents.root = fake_machine.root
    agents.start()
    agents.until(lambda: agents.seq() == 1)
    second = agents.start()
    _, said = second.communicate(timeout=20)
    assert second.returncode == 5
    assert "another agent runs" in said


def on_demand(agents: Agents, child: subprocess.Popen[str]) -> None:
    """A reading now, saved when this returns."""
    seq = agents.seq()
    child.send_signal(signal.SIGUSR1)
    agents.until(lambda: agents.seq() > seq)
