"""A rented server that faults happen to, and the auditor: what its kernel counted is what the
ledger of a real worker says in the end.

The kernel is played (``/proc`` and ``/sys`` in a folder); agent, broker, worker and database are
real processes.
"""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.status import ask
from schemas.envelope import Key
from schemas.errors import DependencyError
from sinks.database import Connection
from sinks.keys import register
from tests.fix_agents import SECRET, Agents
from tests.fix_worker import Scene, offsets, wait_for, worker
from tests.vault import VAULT

Series = tuple[str, str]
NOWHERE = "127.0.0.1:1"


@dataclass
class Kernel:
    """NICs whose counters begin at zero with each boot; ``used`` is what all of them counted."""

    root: Path
    nics: int = 1
    now: dict[str, list[int]] = field(default_factory=dict)
    used: dict[Series, int] = field(default_factory=dict)
    boots: int = 0

    def __post_init__(self) -> None:
        self._put("proc/filesystems", "\text4\n")
        self._put("proc/self/mountinfo", "")
        self._put("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n")
        for number in range(self.nics):
            self._put(f"sys/class/net/eth{number}/ifindex", f"{number + 2}\n")
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        self.now = {f"eth{number}": [0, 0] for number in range(self.nics)}
        self._put("proc/sys/kernel/random/boot_id", f"boot-{self.boots}\n")
        self._show()

    def traffic(self, chance: random.Random) -> None:
        for name, counters in self.now.items():
            for index, meter in enumerate(("net.rx_bytes", "net.tx_bytes")):
                more = chance.randrange(10**6)
                counters[index] += more
                self.used[meter, name] = self.used.get((meter, name), 0) + more
        self._show()

    def _show(self) -> None:
        zeros = "1 0 0 0 0 0 0"
        rows = (f"  {name}: {rx} {zeros} {tx} {zeros}\n" for name, (rx, tx) in self.now.items())
        self._put("proc/net/dev", "head\nhead\n" + "".join(rows))

    def _put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.write_text(text)
        beside.replace(path)


@dataclass
class Site:
    kernel: Kernel
    agents: Agents
    scene: Scene
    conn: Connection
    chance: random.Random

    @property
    def state(self) -> Path:
        return self.agents.folder / "state"

    def start(self, *, broker: bool, interval_s: float = 0.05) -> subprocess.Popen[str]:
        self.agents.root = self.kernel.root
        self.agents.bootstrap = self.scene.bootstrap if broker else NOWHERE
        return self.agents.start("--interval", str(interval_s))

    def live(self, seconds: float) -> None:
        """The machine does something, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.kernel.traffic(self.chance)
            time.sleep(self.chance.uniform(0, 0.02))

    def reported(self, more: int = 1) -> None:
        """So many reports more are saved: the kernel's present values are in the last of them."""
        seq = self.agents.seq()
        self.agents.until(lambda: self.agents.seq() > seq + more)

    def asked(self) -> dict[str, Any]:
        try:
            return ask(self.state)
        except DependencyError:
            return {}

    def delivered(self, interval_s: float = 0.05) -> str:
        """The agent has sent all that waited, and a report of the present values; what it said."""
        child = self.start(broker=True, interval_s=interval_s)
        wait_for(self.agents.seq, "first report")
        self.reported()
        wait_for(lambda: _caught_up(self.asked()), "delivery")
        said = self.agents.stop(child)
        assert "unsent" not in said
        return said

    def reports(self) -> list[dict[str, Any]]:
        return self.agents.reports()

    def billed(self) -> dict[Series, int]:
        """What the ledger says once a worker has metered the whole topic."""
        count = len(self.agents.sent())
        with worker(self.scene):
            wait_for(lambda: sum(offsets(self.conn)) == count, f"{count} messages metered")
        rows = self.conn.execute(
            "SELECT meter, resource, sum(quantity)::bigint FROM usage"
            " WHERE meter LIKE 'net.%%' GROUP BY 1, 2"
        )
        return {(meter, name): int(total) for meter, name, total in rows.fetchall()}

    def refused(self) -> dict[str, int]:
        rows = self.conn.execute("SELECT reason, count(*)::int FROM dead_letter GROUP BY 1")
        return dict(rows.fetchall())


MakeSite = Callable[..., Site]


def new_site(
    folder: Path, bootstrap: str, url: str, conn: Connection, *, nics: int, seed: int
) -> Site:
    """``seed`` is printed: it is what to give to see the same again."""
    print(f"seed {seed}")
    scene = Scene.new(bootstrap, url, folder / "worker")
    key = folder / "key"
    key.write_text(f'kid = "k1"\nsecret = "{SECRET.hex()}"\n')
    key.chmod(0o600)
    register(conn, VAULT, [Key("k1", "s1", SECRET)])
    agents = Agents(folder, bootstrap, scene.reports)
    return Site(Kernel(folder / "root", nics), agents, scene, conn, random.Random(seed))


def numbers(reports: list[dict[str, Any]]) -> dict[str, list[int]]:
    """By origin, the numbers that arrived, each once, in order of arrival; asserts that none has
    two contents.
    """
    contents: dict[tuple[str, int], str] = {}
    found: dict[str, list[int]] = {}
    for report in reports:
        what = {name: value for name, value in report.items() if name != "sent_up_ms"}
        content = json.dumps(what, sort_keys=True)
        identity = report["origin"], report["seq"]
        if identity not in contents:
            found.setdefault(report["origin"], []).append(report["seq"])
        assert contents.setdefault(identity, content) == content
    return found


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A real file system of that size."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _caught_up(found: dict[str, Any]) -> bool:
    """But for what is on its way: it reports twenty times a second."""
    return bool(found.get("acknowledged")) and found["spool"]["reports"] < 20
