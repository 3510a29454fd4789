"""A bare Debian in a folder, from the mirror this machine itself installs from, and commands in it.

Not a plugin. Needs root, and mmdebstrap; `/proc` is not mounted there: a process that could look at
it would see this machine.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PARTS = "python3,systemd-standalone-sysusers"
"""What the package depends on beside what every Debian has."""
CHANGES_ANYHOW = (
    "etc/group", "etc/gshadow", "etc/passwd", "etc/shadow", "etc/.pwd.lock", "var/log/",
    "var/lib/dpkg/", "var/cache/", "tmp/",
)  # fmt: skip


def needs(program: str, package: str = "") -> str:
    """Its path; skips where it is not installed, except on a build server that could install it."""
    found = shutil.which(program)
    if found is None or platform.machine() != "x86_64":
        why = f"{program} is missing, or this is no amd64: apt install {package or program}"
        if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@dataclass(frozen=True)
class Debian:
    root: Path

    def run(self, *command: str, code: int = 0) -> str:
        """What it prints, both streams; as root, nothing on its standard input."""
        done = subprocess.run(
            ["chroot", str(self.root), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def install(self, package: Path) -> str:
        shutil.copyfile(package, self.root / "tmp/it.deb")
        return self.run("dpkg", "--install", "/tmp/it.deb")

    def paths(self) -> set[str]:
        """Everything there is, but for what dpkg and useradd write in any case."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return {path for path in found if not path.startswith(CHANGES_ANYHOW)}

    def put(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file


@contextmanager
def debian(folder: Path) -> Iterator[Debian]:
    """The release that this machine runs; gone at the end."""
    program = needs("mmdebstrap")
    if os.geteuid() != 0:
        pytest.skip("only root may install packages, into a folder too")
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    sources = [str(path) for path in SOURCES if path.exists()]
    root = folder / "root"
    made = subprocess.run(
        [program, "--quiet", "--mode=root", "--variant=essential", f"--include={PARTS}",
         release, str(root), *sources[:1]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    try:
        yield Debian(root)
    finally:
        shutil.rmtree(root)


SOURCES = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list.d/ubuntu.sources"),
    Path("/etc/apt/sources.list"),
)
