"""What the agent is made of, in a folder: its two rooms and the locked wheels of the base install.

confluent-kafka's wheel is binary, one for each Python. They differ in one extension module of
0.4 MB whose name says its Python; all the rest, librdkafka's 12 MB included, is the same to the
byte. So one folder holds the modules of every Python side by side, and each finds its own.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""Debian 12, Ubuntu 24.04, Debian 13, Ubuntu 26.04."""
PLATFORMS: Final = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
ROOMS: Final = ("agents", "schemas")
INSTALLERS: Final = ("RECORD", "INSTALLER", "REQUESTED", "WHEEL", "uv_cache.json")
"""What says how a wheel was installed; WHEEL names one Python."""
NOT_OURS: Final = (".lock", "bin", "example.py", "confluent_kafka/kafkatest")
"""What wheels bring besides their package."""


def project() -> dict[str, object]:
    """`[project]` of pyproject.toml."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def dependencies() -> list[str]:
    """Names of the base install's."""
    wanted = project()["dependencies"]
    assert isinstance(wanted, list)
    return [one.partition(">=")[0] for one in wanted]


def epoch() -> int:
    """What everything made now is dated by: SOURCE_DATE_EPOCH, or the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    last = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(last, check=True, capture_output=True, text=True).stdout)


def gather(folder: Path, architecture: str = "amd64") -> None:
    """Rooms and wheels into ``folder``, nothing compiled; modes and dates are the packer's affair.

    Raises CalledProcessError where the lock's hashes do not hold, ValueError where wheels differ in
    more than their extension module.
    """
    for room in ROOMS:
        shutil.copytree(
            ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "README.md")
        )
    with tempfile.TemporaryDirectory() as beside:
        for python in PYTHONS:
            wheels = Path(beside) / python
            _install(wheels, python, PLATFORMS[architecture])
            for file in sorted(wheels.rglob("*")):
                if file.is_file():
                    _take(file, folder / file.relative_to(wheels))


def _install(target: Path, python: str, platform: str) -> None:
    """The wheels of one Python, hashes checked against the lock."""
    subprocess.run(
        [
            sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--only-binary",
            ":all:", "--python-version", python, "--python-platform", platform,
            "--constraint", str(ROOT / "requirements.lock"), "--target", str(target),
            *dependencies(),
        ],
        check=True,
    )  # fmt: skip
    for name in NOT_OURS:
        path = target / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for about in target.glob("*.dist-info"):
        for name in INSTALLERS:
            (about / name).unlink(missing_ok=True)


def _take(file: Path, target: Path) -> None:
    if target.exists():
        if not filecmp.cmp(file, target, shallow=False):
            raise ValueError(f"{target.name} is not the same in the wheels of all Pythons")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
