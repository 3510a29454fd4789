"""``python -m deploy.deb.build`` writes build/deb/rackmeter-agent_VERSION_amd64.deb, …_arm64.deb,
and beside each what it is made of. Nothing is compiled, so either is built on any machine.

The same commit gives the same bytes: dates are the commit's, modes are set here, `dpkg-deb` sorts.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from deploy.deb.parts import PLATFORMS, PYTHONS, ROOT, epoch, gather, project
from deploy.deb.sbom import sbom

HERE: Final = Path(__file__).parent
SYSTEMD: Final = ROOT / "deploy/systemd"
UNIT: Final = "rackmeter-agent.service"
SCRIPTS: Final = ("postinst", "prerm", "postrm")
SBOM: Final = "usr/share/doc/rackmeter-agent/sbom.cdx.json"
DROP_INS: Final = (
    SYSTEMD / "rackmeter-.service.d/10-hardening.conf",
    SYSTEMD / f"{UNIT}.d/20-machine.conf",
)
PLACES: Final = {
    "rackmeter": "usr/bin/rackmeter",
    "agent.toml": "etc/rackmeter/agent.toml",
    "sysusers.conf": "usr/lib/sysusers.d/rackmeter-agent.conf",
    "package.conf": f"usr/lib/systemd/system/{UNIT}.d/30-package.conf",
    "copyright": "usr/share/doc/rackmeter-agent/copyright",
    "lintian-overrides": "usr/share/lintian/overrides/rackmeter-agent",
}


def build(out: Path, dated: int, architecture: str = "amd64") -> Path:
    """The package, in ``out``; ``dated``: seconds since 1970."""
    version = str(project()["version"])
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"rackmeter-agent_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        gather(root / "usr/lib/rackmeter-agent", architecture)
        _lay(root, version, dated)
        made_of = sbom(root / "usr/lib/rackmeter-agent", version, dated, architecture)
        for file in (out / f"{package.stem}.cdx.json", root / SBOM):
            file.write_text(made_of, encoding="utf-8")
        _describe(root, version, architecture)
        _settle(root)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zxz", "--build",
             str(root), str(package)],
            check=True, stdout=subprocess.DEVNULL,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(dated)},
        )  # fmt: skip
    return package


def _lay(root: Path, version: str, dated: int) -> None:
    """Everything but the program."""
    for name, place in PLACES.items():
        _copy(HERE / name, root / place)
    units = root / "usr/lib/systemd/system"
    for file in DROP_INS:
        _copy(file, units / f"{UNIT}.d" / file.name)
    unit = (SYSTEMD / UNIT).read_text(encoding="utf-8")
    (units / UNIT).write_text(unit.replace("/opt/rackmeter/bin/", "/usr/bin/"), encoding="utf-8")
    when = format_datetime(datetime.fromtimestamp(dated, UTC))
    changes = (
        f"rackmeter-agent ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
        f" -- rackmeter <maintainers@rackmeter.example>  {when}\n"
    )
    told = root / "usr/share/doc/rackmeter-agent/changelog.gz"
    told.write_bytes(gzip.compress(changes.encode(), mtime=0))


def _describe(root: Path, version: str, architecture: str) -> None:
    """DEBIAN: control, scripts, conffiles, and the sum of every file."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    about = root / "DEBIAN"
    for name in (*SCRIPTS, "conffiles"):
        _copy(HERE / name, about / name)
    major, minor = PYTHONS[-1].split(".")
    control = (HERE / "control").read_text(encoding="utf-8")
    (about / "control").write_text(
        control.format(
            version=version,
            architecture=architecture,
            kib=sum(-(-file.stat().st_size // 1024) for file in files),
            first=PYTHONS[0],
            after=f"{major}.{int(minor) + 1}",
        ),
        encoding="utf-8",
    )
    names = [str(file.relative_to(root)) for file in files]
    sums = subprocess.run(["md5sum", *names], cwd=root, check=True, capture_output=True).stdout
    (about / "md5sums").write_bytes(sums)


def _settle(root: Path) -> None:
    """Modes as they shall be installed, whatever the builder's umask."""
    runs = {root / "usr/bin/rackmeter", *(root / "DEBIAN" / name for name in SCRIPTS)}
    root.chmod(0o755)
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path in runs else 0o644)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/deb")
    parser.add_argument("--arch", action="append", choices=PLATFORMS, help="both, unless told")
    given = parser.parse_args()
    for architecture in given.arch or PLATFORMS:
        print(build(given.out, epoch(), architecture))  # noqa: T201 - a command
