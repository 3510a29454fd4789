"""What the agent costs a rented machine, beside Debian's node exporter in the same minutes.

``python -m benchmarks.agent [--json] [--minutes N] [--interval S] [--gpus 0]``. The agent is a
process of its own with this machine's /proc, /sys and mounts, and eight GPUs of a library that
stands in for NVIDIA's (tests/agents/nvml.c, so ``cc`` is needed). CPU and memory are the
kernel's own figures over real minutes, after a settling time. The spool is filled by hurried
reports while no broker answers; a day of it follows from the bytes of a report. Then a broker
answers again, and every report must be on the topic.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.throughput import machine
from rackmeter.stack import Stack
from rackmeter.topics import create_topics
from tests.agents.nvml import compiled
from tests.deploy.prometheus import free_port
from tests.fix_agents import SECRET, Agents

TOPIC: Final = "usage.reports"
EXPORTER: Final = "prometheus-node-exporter"
SETTLE_S: Final = 15.0
SPOOLED: Final = 100
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Figures:
    """MB are 10⁶ bytes. ``spool_mb_per_day``: while no broker answers, at this interval."""

    gpus: int
    interval_s: float
    seconds: int
    rss_mb_peak: float
    cpu_percent_of_core: float
    bytes_per_report: int
    series: int
    reports: int
    reports_lost: int
    spool_mb_per_day: float
    exporter_rss_mb_peak: float | None
    exporter_cpu_percent_of_core: float | None
    exporter_bytes_per_scrape: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between reports")
    parser.add_argument("--gpus", type=int, choices=(0, 8), default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rackmeter-bench-") as folder:
        found = asdict(measure(Path(folder), given))
    if given.json:
        print(json.dumps({"machine": machine(), **found}))
        return
    for name, value in found.items():
        print(f"{name:30} {value}")


def measure(folder: Path, given: argparse.Namespace) -> Figures:
    """First with a broker, then without, then with one again: one state, one topic."""
    seconds, interval = given.minutes * 60, given.interval
    with Stack.start(folder / "servers", postgres=False) as stack, exporting() as exporter:
        create_topics(stack.bootstrap, {TOPIC: 2})
        agents = rented(folder, stack.bootstrap, given.gpus)
        child = agents.start("--interval", str(interval))
        watched = [child.pid, *(process.pid for process, _ in exporter)]
        time.sleep(SETTLE_S)
        began, before = time.monotonic(), [cpu_s(pid) for pid in watched]
        pages = 0
        while time.monotonic() - began < seconds:
            for _, address in exporter:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    pages = max(pages, len(answer.read()))
            time.sleep(interval)
        passed = time.monotonic() - began
        spent = [cpu_s(pid) - then for pid, then in zip(watched, before, strict=True)]
        peaks = [peak_mb(pid) for pid in watched]
        agents.stop(child)
        size = spooled_bytes(agents)
        agents.finish("--count", "1")
        bodies = [message.value() or b"" for message in agents.sent()]
    numbers = {(one["origin"], one["seq"]) for one in map(json.loads, bodies)}
    shares = [round(100 * one / passed, 3) for one in spent]
    return Figures(
        gpus=given.gpus,
        interval_s=interval,
        seconds=round(passed),
        rss_mb_peak=peaks[0],
        cpu_percent_of_core=shares[0],
        bytes_per_report=round(sum(map(len, bodies)) / len(bodies)),
        series=len(json.loads(bodies[-1])["meter"]),
        reports=len(numbers),
        reports_lost=agents.seq() - len(numbers),
        spool_mb_per_day=round(size * DAY_S / interval / 1e6, 1),
        exporter_rss_mb_peak=peaks[1] if exporter else None,
        exporter_cpu_percent_of_core=shares[1] if exporter else None,
        exporter_bytes_per_scrape=pages if exporter else None,
    )


def rented(folder: Path, bootstrap: str, gpus: int) -> Agents:
    """Agents of this machine, with GPUs: its own root, and in it what says NVIDIA."""
    root = folder / "root"
    (root / ("proc/driver/nvidia" if gpus else "proc/driver")).mkdir(parents=True)
    for name in (path.name for path in Path("/").iterdir()):
        if name != "proc":
            (root / name).symlink_to(f"/{name}")
    for name in (path.name for path in Path("/proc").iterdir()):
        if name != "driver" and not name.isdigit():
            (root / "proc" / name).symlink_to(f"/proc/{name}")
    compiled(folder)
    os.environ["LD_LIBRARY_PATH"] = str(folder)
    key = folder / "key"
    key.write_text(f'kid = "k1"\nsecret = "{SECRET.hex()}"\n')
    key.chmod(0o600)
    return Agents(folder, bootstrap, TOPIC, root)


def spooled_bytes(agents: Agents) -> float:
    """Of a report on the disk, while no broker answers."""
    away = ("--bootstrap", f"127.0.0.1:{free_port()}", "--interval", "0.05")
    child = agents.start(*away, "--count", str(SPOOLED))
    child.communicate(timeout=120)
    files = (agents.folder / "state/spool").glob("*.log")
    return sum(file.stat().st_size for file in files) / SPOOLED


@contextmanager
def exporting() -> Iterator[list[tuple["subprocess.Popen[bytes]", str]]]:
    """Debian's node exporter with its defaults and its page, where it is installed."""
    program = shutil.which(EXPORTER)
    if program is None:
        yield []
        return
    at = f"127.0.0.1:{free_port()}"
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([program, f"--web.listen-address={at}"], stdout=quiet, stderr=quiet)
    try:
        address = f"http://{at}/metrics"
        for _ in range(100):
            with suppress(OSError), urllib.request.urlopen(address, timeout=10):
                break
            time.sleep(0.1)
        yield [(process, address)]
    finally:
        process.terminate()
        process.wait(10)


def cpu_s(pid: int) -> float:
    """All threads of a process since it began, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return round(int(found[1]) * 1024 / 1e6, 1)


if __name__ == "__main__":
    main()
