"""The ways of metering that are compared: each is a process that reads the topic from its start.

Owns starting, killing and judging them; what each does is in ``readers.py``, ``scene.rackmeter``
and ``peers/``. A way that cannot run here has a sentence in place of figures.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.scene import PARTITIONS, TOPIC, Scene, rackmeter

PEER_NAMES: Final = ("plain faust", "quixstreams", "bytewax", "flink")
PEERS: Final = Path(__file__).parent / "peers"
ENVIRONMENT: Final = Path(".venv-peers")
"""Made by ``make bench-peers``; the project never depends on what is in it."""
LIMIT_S: Final = 600.0
_SERIES: Final = ["server", "meter", "resource"]
_COLUMNS: Final = {
    "server": pl.String, "meter": pl.String, "resource": pl.String, "window": pl.Int64,
    "quantity": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one way."""

    seconds: float = 0.0
    """From the first report to the last result."""
    startup_s: float = 0.0
    """Before that."""
    version: str = ""
    lost: int | None = None
    """Units that the truth has and the result has not; None where a way has no result."""
    doubled: int | None = None
    failure: str = ""

    @property
    def correct(self) -> bool | None:
        """Whether every series has its total, to the unit."""
        return None if self.lost is None else self.lost == self.doubled == 0


class FailedError(Exception):
    """A way did not come to its end; the message is for the table."""


def run(way: str, scene: Scene, *, kill_after_s: float | None = None) -> Outcome:
    """Run a way once, with a kill -9 in the middle where asked."""
    try:
        if way in ("consume", "decode"):
            return _reader(way, scene)
        if way == "rackmeter":
            seconds, sums = rackmeter(scene, kill=kill_after_s is not None)
            return Outcome(seconds, 0.0, version("rackmeter"), *differences(scene.truth, sums))
        return _peer(way, scene, kill_after_s)
    except FailedError as error:
        return Outcome(failure=str(error))


def differences(truth: pl.DataFrame, sums: pl.DataFrame) -> tuple[int, int]:
    """Units lost and doubled, each series apart: a sum hides mistakes that cancel out."""
    found = sums.group_by(_SERIES).agg(pl.col("quantity").sum().alias("found"))
    both = truth.join(found, on=_SERIES, how="full", coalesce=True).fill_null(0)
    missing = both.select(pl.col("quantity") - pl.col("found")).to_series()
    return int(missing.clip(lower_bound=0).sum()), int((-missing).clip(lower_bound=0).sum())


def _reader(way: str, scene: Scene) -> Outcome:
    place = [scene.servers.bootstrap, TOPIC, str(PARTITIONS), str(scene.load.reports)]
    told = _last_words(way, [sys.executable, "-m", "benchmarks.readers", way, *place], {}, None)
    return Outcome(told["seconds"], told["startup_s"], told["version"])


def _peer(way: str, scene: Scene, kill_after_s: float | None) -> Outcome:
    folder = scene.folder
    out = folder / "sums"
    killing = None
    if kill_after_s is not None:
        counts = {"KILL_AT": str(scene.load.reports // 2)}
        killing = {"KILL_AFTER_S": str(kill_after_s)} if way == "flink" else counts
    told = _last_words(way, _command(way, folder), _place(scene, folder, out), killing)
    sums = _read_sums(out)
    figures = told["seconds"], told["startup_s"], told["version"]
    return Outcome(*figures, *differences(scene.truth, sums))


def _place(scene: Scene, folder: Path, out: Path) -> dict[str, str]:
    return {
        "BOOTSTRAP": scene.servers.bootstrap,
        "TOPIC": TOPIC,
        "PARTITIONS": str(PARTITIONS),
        "REPORTS": str(scene.load.reports),
        "ENDS": ";".join(f"partition:{part},offset:{end}" for part, end in scene.ends.items()),
        "NAME": f"bench-{folder.name}",
        "FOLDER": str(folder),
        "OUT": str(out),
        "WORKERS": str(os.cpu_count()),
        "PYTHONPATH": str(PEERS),
    }


def _command(way: str, folder: Path) -> Sequence[str]:
    """How a peer is started; what it needs beforehand is made."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise FailedError("`make bench-peers` has not been run")
    if way == "flink":
        if shutil.which("java") is None:
            raise FailedError("there is no Java on this machine")
        jars = ENVIRONMENT / "flink"
        if not jars.exists():
            raise FailedError("`make bench-peers` could not fetch its jars")
        options = ["-Xmx6g", "--add-opens=java.base/java.util=ALL-UNNAMED"]
        options += ["--add-opens=java.base/java.lang=ALL-UNNAMED"]
        options += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{jars}/*"]
        return ["java", *options, str(PEERS / "flink/Run.java"), str(PEERS / "flink/job.sql")]
    if way == "bytewax":
        recovery = folder / "recovery"
        recovery.mkdir()
        subprocess.run([python, "-m", "bytewax.recovery", recovery, "1"], check=True)
        arguments = ["-r", str(recovery), "-s", "10", "-b", "0"]
        return [str(python), "-m", "bytewax.run", "with_bytewax:flow", *arguments]
    script = {"plain faust": "plain_faust.py", "quixstreams": "with_quixstreams.py"}[way]
    return [str(python), str(PEERS / script)]


def _last_words(
    way: str, command: Sequence[str], env: Mapping[str, str], killing: Mapping[str, str] | None
) -> dict[str, Any]:
    """What the process says on its last line; after a kill, the second one does.

    ``killing`` says when: a peer in Python counts its reports, another one is given so much time.
    """
    child, spawned = _spawn(command, {**env, **(killing or {})}), time.time()
    try:
        if killing is not None:
            if "KILL_AFTER_S" in killing:
                time.sleep(float(killing["KILL_AFTER_S"]))
                child.kill()
            child.communicate(timeout=LIMIT_S)
            child = _spawn(command, env)
        said, complaints = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise FailedError(f"not at its end after {LIMIT_S:.0f} s") from None
    finally:
        child.kill()
        child.wait()
    lines = [line for line in said.splitlines() if line.startswith('{"began"')]
    if not lines:
        words = complaints.strip().splitlines() or [f"exit code {child.returncode}"]
        raise FailedError(f"{way} gave no result: {words[-1][-200:]}")
    told: dict[str, Any] = json.loads(lines[-1])
    return {**told, "startup_s": told["began"] - spawned}


def _spawn(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, env={**os.environ, **env}, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _read_sums(out: Path) -> pl.DataFrame:
    files = sorted(out.glob("part-*")) if out.is_dir() else [out]
    full = [file for file in files if file.stat().st_size]
    parts = [pl.read_csv(file, has_header=False, schema=_COLUMNS) for file in full]
    sums = pl.concat(parts) if parts else pl.DataFrame(schema=_COLUMNS)
    return sums.with_columns(pl.col("resource").fill_null(""))
