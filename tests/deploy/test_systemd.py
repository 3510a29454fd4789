"""The units: what systemd itself says of them, and that every word in them exists."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackmeter.cli.app import build
from rackmeter.settings import PREFIX, Settings

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
BINARY = "/opt/rackmeter/bin/rackmeter"
UNITS = sorted(
    file.name for file in FOLDER.iterdir() if file.is_file() and "rackmeter" in file.name
)
SERVICES = [name for name in UNITS if name.endswith(".service")]
TIMERS = [name for name in UNITS if name.endswith(".timer")]
STRIPE = sorted(
    file.relative_to(FOLDER / "with-stripe").as_posix()
    for file in (FOLDER / "with-stripe").rglob("*.conf")
)
EXPOSURE_MAX = {"rackmeter-agent.service": 2.0}
"""Of 10, as `systemd-analyze security` counts: below 2.0 it says OK, and 1.5 is what the servers
have; the agent sees /proc, /home and the GPU."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze: apt install systemd"
)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as installed, with a program that is there."""
    folder = tmp_path_factory.mktemp("systemd")
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    for file in folder.glob("*.service"):
        file.write_text(file.read_text().replace(BINARY, "/bin/true"))
    return folder


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False,
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"},
    )  # fmt: skip


def instance(name: str) -> str:
    return name.replace("@.", "@1.")


def lines(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (FOLDER / name).read_text(), re.MULTILINE)


def test_the_parts_are_there() -> None:
    assert [name.removeprefix("rackmeter-") for name in UNITS] == [
        "agent.service", "api.service", "archive.service", "archive.timer", "audit.service",
        "audit.timer", "backup.service", "backup.timer", "close.service", "close.timer",
        "collect.service", "collect.timer", "collector@.service", "maintain.service",
        "maintain.timer", "reconcile.service", "reconcile.timer", "worker@.service",
    ]  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_it_without_a_word(name: str, units: Path) -> None:
    done = analyze(units, "verify", "--man=no", instance(name))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_it_exposes_little(name: str, units: Path) -> None:
    done = analyze(units, "security", "--offline=true", instance(name))
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX.get(name, 1.5), done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_exists(name: str) -> None:
    [command] = lines(name, "ExecStart")
    for kind in ("snmp", "scrape", "redfish") if "@" in name and "%i" in command else ("1",):
        check_command(*command.replace("%i", kind).split())


def check_command(program: str, *words: str) -> None:
    assert program == BINARY
    verbs = [word for word in words[:2] if word.isalpha()]
    if verbs[0] == "agent":
        from agents.main import main  # noqa: PLC0415 - parses by itself

        assert main([verbs[1], "--help"]) == 0
        return
    shown = CliRunner().invoke(build(), [*verbs, "--help"])
    assert shown.exit_code == 0
    assert [word for word in words if word.startswith("--") and word not in shown.output] == []


@pytest.mark.parametrize("name", SERVICES)
def test_its_settings_exist_and_its_secrets_are_credentials(name: str) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {"PGPASSFILE"}
    given = dict(line.split("=", 1) for line in lines(name, "Environment"))
    assert given.keys() <= known
    loaded = {line.split(":")[0] for line in lines(name, "LoadCredential")}
    used = {*re.findall(r"%d/([\w.]+)", (FOLDER / name).read_text())}
    assert used == loaded
    for variable, value in given.items():
        if re.search(r"KEY|PASS|CERT", variable):
            assert value.startswith("%d/"), variable


# -- with Stripe -----------------------------------------------------------------------------------


def test_who_speaks_with_stripe_gets_its_secrets_from_systemd_alone(units: Path) -> None:
    """Whoever takes events needs what checks them; nobody else does. No unit has either without."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    assert STRIPE == [
        "rackmeter-api.service.d/30-stripe.conf", "rackmeter-collect.service.d/30-stripe.conf",
    ]  # fmt: skip
    for name in STRIPE:
        file = f"with-stripe/{name}"
        given = dict(line.split("=", 1) for line in lines(file, "Environment"))
        assert given.keys() <= known
        loaded = dict(line.split(":") for line in lines(file, "LoadCredential"))
        assert {f"%d/{credential}" for credential in loaded} == set(given.values())
        assert all(path == f"/etc/rackmeter/{one}" for one, path in loaded.items())
        assert ("RACKMETER_STRIPE_WEBHOOK_SECRET_FILE" in given) == ("api" in name)
        assert "stripe" not in (FOLDER / name.split(".d/")[0]).read_text()


@pytest.mark.parametrize("name", STRIPE)
def test_systemd_reads_the_units_with_stripe_without_a_word(
    name: str, units: Path, tmp_path: Path
) -> None:
    unit = name.split(".d/", maxsplit=1)[0]
    shutil.copytree(units, tmp_path, dirs_exist_ok=True)
    shutil.copytree(FOLDER / "with-stripe", tmp_path, dirs_exist_ok=True)
    done = analyze(tmp_path, "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")
    shutil.copy(tmp_path / name, tmp_path / f"{name}.conf")
    (tmp_path / f"{name}.conf").write_text("[Service]\nLoadCredentials=x\n")
    assert "LoadCredentials" in analyze(tmp_path, "verify", "--man=no", unit).stderr, "it is read"


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_bounded_and_started_again(name: str) -> None:
    assert lines(name, "MemoryMax")
    [again] = lines(name, "Restart")
    job = lines(name, "Type") == ["oneshot"]
    assert again == ("on-failure" if job else "always")
    [never] = lines(name, "RestartPreventExitStatus")
    assert "2" in never.split(), "a mistake in the settings does not mend itself"


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_writes_is_its_own(name: str) -> None:
    """ProtectSystem=strict leaves nothing else writable."""
    folders = {f"/var/lib/{one}" for line in lines(name, "StateDirectory") for one in line.split()}
    text = (FOLDER / name).read_text()
    for path in re.findall(r"/var/lib/rackmeter[\w./%-]*", text):
        inside = [folder for folder in folders if path == folder or path.startswith(f"{folder}/")]
        assert inside, path


def test_the_agent_is_not_behind_a_door_that_the_servers_close() -> None:
    """On their machine too: its user is another, and may not enter a folder of theirs."""
    folders = {one: {*" ".join(lines(one, "StateDirectory")).split()} for one in SERVICES}
    [agents] = folders.pop("rackmeter-agent.service")
    taken = set().union(*folders.values())
    assert not [one for one in taken if agents == one or agents.startswith(f"{one}/")]


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_makes_up_for_what_was_missed(name: str, units: Path) -> None:
    assert name.replace(".timer", ".service") in SERVICES
    assert lines(name, "Persistent") == ["yes"]
    [when] = lines(name, "OnCalendar")
    assert analyze(units, "calendar", when).returncode == 0


# -- what notify says ------------------------------------------------------------------------------


def test_a_heart_beats_ready_then_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket  # noqa: PLC0415 - this test alone

    from rackmeter.notify import BEAT_SECONDS, Heartbeat  # noqa: PLC0415

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inlet:
        inlet.bind(str(tmp_path / "n"))
        inlet.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        heart = Heartbeat()
        for passed in (0.0, 0.1, BEAT_SECONDS, 0.1, BEAT_SECONDS):
            now[0] += passed
            heart.beat()
        said = []
        while True:
            try:
                said.append(inlet.recv(100))
            except BlockingIOError:
                break
    assert said == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_manager_that_is_gone_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rackmeter.notify import notify  # noqa: PLC0415

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
