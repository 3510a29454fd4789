"""The demonstration for real, small: its document, its invoices, its end by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections import defaultdict
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from standardwebhooks.webhooks import Webhook

from rackmeter.demo import kernel
from rackmeter.demo.cast import month_span, previous_month
from rackmeter.demo.receiver import Receiver
from rackmeter.demo.traffic import send
from rackmeter.fleet.truth import Truth, read
from schemas.events import THRESHOLD_CROSSED

ROOT = Path(__file__).parents[2]
CENT = Decimal("0.01")
TB = Decimal(10) ** 12
MONTH, DAYS, SERVERS = "2026-10", 2, 6
# The demo's price list, by hand: price and cap of an hour, allowance in TB a month, price of a TB.
SMALL = (Decimal("0.0833"), Decimal("49.00"), 20, Decimal("1.29"))
LARGE = (Decimal("0.1875"), Decimal("109.00"), 30, Decimal("1.19"))


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RACKMETER_")}
    command = [sys.executable, "-m", "rackmeter", "demo", "--data-dir", str(folder)]
    return subprocess.Popen(
        [*command, "--month", MONTH, "--servers", str(SERVERS), "--days", str(DAYS), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=clean,
    )  # fmt: skip


def orphans(folder: Path) -> list[str]:
    """Processes that name the folder in their arguments or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words) and process.pid != os.getpid():
            found.append(f"{process.pid} {' '.join(process.cmdline()[:6])}")
    return found


# --- the whole path -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("demo") / "data"
    running = demo(folder, "--seed", "7", "--kills", "1", "--json")
    out, err = running.communicate(timeout=170)
    assert running.returncode == 0, f"{out}\n{err}"
    return folder, json.loads(out), err


@pytest.mark.slow
def test_every_figure_is_as_it_must_be(played: tuple[Path, dict[str, Any], str]) -> None:
    folder, found, err = played
    machine = found["this_machine"]
    assert machine["equal"]
    assert machine["kernel_bytes"] == machine["metered_bytes"] > 800_000_000
    assert found["fleet"]["servers"] == SERVERS
    assert found["fleet"]["reports"] > SERVERS * DAYS * 250  # one was silent for hours
    assert found["fleet"]["samples_per_s"] > 0
    kill = found["kill"]
    assert (kill["workers_killed"], kill["lost"], kill["doubled"]) == (1, 0, 0)
    assert kill["figures"] > kill["differences"] == 0
    assert 0 < kill["absence_s"] < 60
    assert found["conservation"]["series"] > found["fleet"]["servers"]
    assert found["conservation"]["violations"] == 0
    assert found["alert"]["count"] == 3
    assert 0 < found["alert"]["latency_ms"] < 30_000
    assert found["invoices"]["count"] == 5
    assert found["reconciliation"]["checked"] > 0
    assert found["reconciliation"]["differences"] == 0
    assert found["failures"] == []
    assert "\x1b" not in err  # no terminal: plain lines
    assert len(list((folder / "invoices").iterdir())) == 2 * (5 + 1)


@pytest.mark.slow
def test_the_total_is_what_the_truth_costs(played: tuple[Path, dict[str, Any], str]) -> None:
    folder, found, _ = played
    truth = read(folder / "truth.jsonl")
    assert Decimal(found["invoices"]["total"]) == _total(truth)


@pytest.mark.slow
def test_every_crossing_is_told_once(played: tuple[Path, dict[str, Any], str]) -> None:
    folder, found, _ = played
    used, large = _used(read(folder / "truth.jsonl"))
    crossings = 3  # of this machine
    for server, sent in used.items():
        allowance = _allowance(LARGE if large[server] else SMALL)
        crossings += sum(sent * 100 >= percent * allowance for percent in (50, 80, 100))
    assert found["alert"]["entered"] == found["alert"]["delivered"] == crossings > 3
    assert found["alert"]["unsigned"] == 0


@pytest.mark.slow
def test_the_next_commands_work_and_nothing_is_left(
    played: tuple[Path, dict[str, Any], str],
) -> None:
    folder, found, _ = played
    assert orphans(folder) == []
    explain, verify = (command.split() for command in found["next"][1:])
    done = subprocess.run(explain, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rounding of quantity" in done.stdout
    file = Path(verify[-1])
    assert _verify(file) == 0
    altered = file.with_name("altered.json")
    altered.write_text(file.read_text().replace('"gross": "', '"gross": "1', 1))
    assert _verify(altered) == 3
    assert orphans(folder) == []


def _verify(file: Path) -> int:
    command = [sys.executable, "-m", "rackmeter", "invoice", "verify", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def _total(truth: Truth) -> Decimal:
    """The invoices by hand: hours, allowance by days, a step of 0.001 TB, tax on each invoice."""
    used, large = _used(truth)
    nets: dict[int, Decimal] = defaultdict(Decimal)
    for server, sent in used.items():
        plan = LARGE if large[server] else SMALL
        rate, cap, _, price = plan
        rent = min((DAYS * 24 * rate).quantize(CENT, ROUND_HALF_UP), cap)
        over = (max(sent - _allowance(plan), 0) / TB).quantize(Decimal("0.001"), ROUND_HALF_UP)
        net = rent + (over * price).quantize(CENT, ROUND_HALF_UP)
        nets[(int(server.removeprefix("ax-")) - 1) % 5] += net
    return sum(
        (net + (net * Decimal("0.19")).quantize(CENT, ROUND_HALF_UP) for net in nets.values()),
        Decimal(0),
    )


def _used(truth: Truth) -> tuple[dict[str, int], dict[str, bool]]:
    """Bytes sent in the period by each server, and whether it is a large one."""
    sent: dict[str, int] = defaultdict(int)
    large: dict[str, bool] = defaultdict(bool)
    for one in truth.series:
        sent[one.server] += one.period if one.meter == "net.tx_bytes" else 0
        large[one.server] |= one.resource == "/srv"
    return sent, large


def _allowance(plan: tuple[Decimal, Decimal, int, Decimal]) -> int:
    """In bytes, for the days rented; October 2026 has 31 days and an hour in Berlin."""
    return -(-plan[2] * 10**12 * DAYS * 24 // (31 * 24 + 1))


# --- its end ------------------------------------------------------------------------------------


def until_the_agent_runs(running: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 90
    while not (folder / "agent" / "state" / "agent.json").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(orphans(folder)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "data"
    running = demo(folder, "--json")
    until_the_agent_runs(running, folder)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert err.splitlines()[-1] == "rackmeter: interrupted"
    assert orphans(folder) == []


@pytest.mark.slow
def test_a_killed_demo_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    running = demo(folder)
    until_the_agent_runs(running, folder)
    running.kill()
    running.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while (left := orphans(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    running = demo(tmp_path)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 5
    assert f"{tmp_path} is not empty" in err


# --- parts --------------------------------------------------------------------------------------


def test_the_previous_month_is_that_of_the_customers() -> None:
    assert previous_month(datetime(2026, 11, 30, 22, 59, tzinfo=UTC)) == "2026-10"
    assert previous_month(datetime(2026, 11, 30, 23, 0, tzinfo=UTC)) == "2026-11"
    assert previous_month(datetime(2027, 1, 15, tzinfo=UTC)) == "2026-12"
    assert month_span("2026-10").start == datetime(2026, 9, 30, 22, tzinfo=UTC)


def test_traffic_is_counted_by_the_kernel() -> None:
    before = kernel.counters()["lo"]
    assert list(send(30)) == [20, 30]
    assert kernel.counters()["lo"] - before >= 2 * 30_000_000


def test_the_receiver_counts_what_is_signed() -> None:
    with Receiver() as receiver:
        data = {"scope": "web-1", "sampled_at": datetime.now(UTC).isoformat()}
        body = json.dumps({"type": THRESHOLD_CROSSED, "data": data}).encode()
        forged = f"whsec_{b64encode(b'another key of 32 bytes, not ours').decode()}"
        for secret, status in [(receiver.secret, 204), (receiver.secret, 204), (forged, 401)]:
            assert _post(receiver.url, secret, body) == status
        assert receiver.wait(1, "web-1", 1) == 1
        assert receiver.wait(1, "web-2", 0) == 0
        assert (receiver.crossings, receiver.repeated, receiver.unsigned) == (1, 1, 1)
        assert len(receiver.latencies_ms("web-1")) == 1


def _post(url: str, secret: str, body: bytes) -> int:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body.decode()),
    }
    try:
        with urlopen(Request(url, body, headers), timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
