"""The agent's package: the same bytes each time, and its life on a bare Debian under dpkg."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.deb.build import SBOM, SCRIPTS, build
from deploy.deb.parts import PYTHONS, dependencies
from tests.deploy.debian import Debian, debian, needs

HERE = Path(__file__).parents[2] / "deploy/deb"
TREE = Path(__file__).parents[1] / "agents/trees/dedicated"
PROGRAM = "usr/lib/rackmeter-agent"
STATE = "var/lib/rackmeter-agent"
DATED = 1_790_000_000
EM_AARCH64 = 183
AS_AGENT = (
    "setpriv", "--reuid=rackmeter-agent", "--regid=rackmeter-agent", "--clear-groups",
    "--no-new-privs",
)  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("dpkg-deb", "dpkg")
    return build(tmp_path_factory.mktemp("deb"), DATED)


def listed(package: Path) -> list[list[str]]:
    """Mode, owner, size, day, time, name of every file in it."""
    shown = subprocess.run(
        ["dpkg-deb", "--contents", str(package)], check=True, capture_output=True, text=True
    )
    return [line.split(maxsplit=5) for line in shown.stdout.splitlines()]


def newer(package: Path, folder: Path) -> Path:
    """The same with the next version's number."""
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder / "next")], check=True)
    control = folder / "next/DEBIAN/control"
    control.write_text(control.read_text().replace("Version: ", "Version: 1:"))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(folder / "next"), str(folder / "n.deb")],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / "n.deb"


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def machine(elf: Path) -> int:
    """e_machine: elf(5)."""
    with elf.open("rb") as file:
        head = file.read(20)
    assert head[:4] == b"\x7fELF"
    return int.from_bytes(head[18:20], "little")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(400)
def test_two_builds_are_the_same_bytes(package: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        again = build(tmp_path, DATED)
    finally:
        os.umask(before)
    assert again.read_bytes() == package.read_bytes()


def test_it_says_what_it_is_made_of(package: Path, tmp_path: Path) -> None:
    beside = package.with_suffix(".cdx.json")
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path)], check=True)
    assert (tmp_path / SBOM).read_bytes() == beside.read_bytes()
    said = {one["name"]: one for one in json.loads(beside.read_text())["components"]}
    assert said.keys() == {*dependencies(), "librdkafka"}
    lock = (HERE.parents[1] / "requirements.lock").read_text()
    for name in dependencies():
        assert f"\n{name}=={said[name]['version']} " in lock
    [library] = (tmp_path / PROGRAM / "confluent_kafka.libs").iterdir()
    [digest] = said["librdkafka"]["hashes"]
    assert digest["content"] == hashlib.sha256(library.read_bytes()).hexdigest()


def test_it_holds_the_agent_for_every_python_and_no_other_room(package: Path) -> None:
    rows = listed(package)
    assert {row[1] for row in rows} == {"root/root"}
    assert len({(row[3], row[4]) for row in rows}) == 1, "one date"
    assert {row[0] for row in rows} == {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}
    names = {row[5].removeprefix("./") for row in rows}
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    rooms = {name.split("/")[3] for name in names if name.startswith(f"{PROGRAM}/")}
    about = {room for room in rooms if room.endswith(".dist-info")}
    assert rooms - about == {
        "", "agents", "confluent_kafka", "confluent_kafka.libs", "schemas",
    }  # fmt: skip
    for python in PYTHONS:
        tag = f"cpython-{python.replace('.', '')}"
        assert f"{PROGRAM}/confluent_kafka/cimpl.{tag}-x86_64-linux-gnu.so" in names


@pytest.mark.timeout(400)
def test_arm64_differs_in_what_is_compiled_alone(package: Path, tmp_path: Path) -> None:
    """Contents only: it has run on no such machine."""
    there = build(tmp_path / "a", DATED, "arm64")
    assert there.name.endswith("_arm64.deb")
    unpacked = {one: tmp_path / name for one, name in ((package, "x86"), (there, "arm"))}
    for deb, folder in unpacked.items():
        subprocess.run(["dpkg-deb", "-R", str(deb), str(folder)], check=True)
    x86, arm = ({*names(folder)} for folder in unpacked.values())
    assert {re.sub(r"x86_64-linux|-[0-9a-f]{8}\.so", "", name) for name in x86} == {
        re.sub(r"aarch64-linux|-[0-9a-f]{8}\.so", "", name) for name in arm
    }
    folder = unpacked[there]
    compiled = [folder / name for name in arm if ".so" in name]
    assert len(compiled) > len(PYTHONS)
    assert {machine(file) for file in compiled} == {EM_AARCH64}
    assert "\nArchitecture: arm64\n" in (folder / "DEBIAN/control").read_text()
    same = [name for name in x86 & arm if not re.search(r"DEBIAN/|sbom|\.so", name)]
    other = unpacked[package]
    assert [one for one in same if (folder / one).read_bytes() != (other / one).read_bytes()] == []


def test_systemd_reads_the_unit_without_a_word(package: Path, tmp_path: Path) -> None:
    """As packaged it has a user of its own, and is as little exposed as the unit it is made of."""
    program = needs("systemd-analyze", "systemd")
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path)], check=True)
    units = tmp_path / "usr/lib/systemd/system"
    unit = units / "rackmeter-agent.service"
    text = unit.read_text()
    assert "ExecStart=/usr/bin/rackmeter agent run" in text
    unit.write_text(text.replace("/usr/bin/rackmeter", "/bin/true"))
    environment = {"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"}
    said = [
        subprocess.run(
            [program, "--no-pager", *words, unit.name],
            capture_output=True, text=True, check=True, env=environment,
        )
        for words in (["verify", "--man=no"], ["security", "--offline=true"])
    ]  # fmt: skip
    assert said[0].stderr == ""
    assert "static non-root user identity" in said[1].stdout
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", said[1].stdout)
    assert found
    assert float(found[1]) <= 2.0, said[1].stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_is_content(script: str) -> None:
    done = subprocess.run(
        [needs("shellcheck"), HERE / script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_lintian_is_content(package: Path) -> None:
    done = subprocess.run(
        [needs("lintian"), "--fail-on=error,warning", "--suppress-tags=bogus-mail-host", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_its_life_on_a_bare_debian(package: Path, tmp_path: Path) -> None:
    """Installed, used, upgraded, removed, installed again, purged: and as if it had never been."""
    with debian(tmp_path) as here:
        bare = here.paths()
        installs_and_counts(here, package)
        upgrades(here, newer(package, tmp_path))
        removed_and_installed_again(here, package)
        here.run("dpkg", "--purge", "rackmeter-agent")
        here.run("dpkg", "--purge", "rackmeter-agent")
        assert here.paths() == bare
        assert "rackmeter-agent" in here.run("getent", "passwd", "rackmeter-agent"), "it stays"


def installs_and_counts(here: Debian, package: Path) -> None:
    """Also: configured twice comes to the same, and an unprivileged user is enough to run it."""
    key = here.put("etc/rackmeter/agent.key", f'kid = "k"\nsecret = "{"ab" * 32}"\n', 0o644)
    shutil.copytree(TREE, here.root / "tree")
    here.install(package)
    once = here.paths()
    here.install(package)
    assert here.paths() == once
    *_, home, shell = here.run("getent", "passwd", "rackmeter-agent").strip().split(":")
    assert (home, shell) == ("/", "/usr/sbin/nologin")
    assert (key.stat().st_mode & 0o777, key.stat().st_uid) == (0o600, 0)
    assert here.run("dpkg", "--verify", "rackmeter-agent") == ""
    wanted = "etc/systemd/system/multi-user.target.wants/rackmeter-agent.service"
    assert wanted in once, "enabled"
    sample = ("rackmeter", "agent", "sample", "--root", "/tree")
    assert "net.rx_bytes" in here.run(*AS_AGENT, *sample)
    assert "the agent alone" in here.run("rackmeter", "demo", code=2)
    here.run("install", "-d", "-o", "rackmeter-agent", "-m", "0700", f"/{STATE}")
    own = here.put("credential", key.read_text(), 0o600)
    os.chown(own, (here.root / STATE).stat().st_uid, 0)
    here.run(
        *AS_AGENT, "rackmeter", "agent", "run", "--root", "/tree", "--state", f"/{STATE}",
        "--key-file", "/credential", "--count", "1", "--bootstrap", "127.0.0.1:1", code=1,
    )  # fmt: skip
    assert list((here.root / STATE / "spool").glob("*.log")), "no broker, so it waits"
    shutil.rmtree(here.root / "tree")
    own.unlink()


def upgrades(here: Debian, package: Path) -> None:
    """Settings that were changed stay, and nothing is asked."""
    settings = here.root / "etc/rackmeter/agent.toml"
    settings.write_text('server = "ax-1"\n')
    kept = {
        path.name: path.read_bytes() for path in (here.root / STATE).rglob("*") if path.is_file()
    }
    here.install(package)
    assert settings.read_text() == 'server = "ax-1"\n'
    for path in (here.root / STATE).rglob("*"):
        assert path.is_dir() or path.read_bytes() == kept[path.name]
    assert list((here.root / PROGRAM / "agents/__pycache__").glob("loop.*.pyc"))


def removed_and_installed_again(here: Debian, package: Path) -> None:
    """What was counted, spooled, set, and the key, are there when it comes back."""
    here.run("dpkg", "--remove", "rackmeter-agent")
    assert not (here.root / PROGRAM).exists()
    assert not (here.root / "usr/bin/rackmeter").exists()
    assert (here.root / STATE / "agent.json").exists()
    assert list((here.root / STATE / "spool").glob("*.log"))
    here.install(package)
    assert (here.root / "etc/rackmeter/agent.toml").read_text() == 'server = "ax-1"\n'
    assert (here.root / "etc/rackmeter/agent.key").exists()
