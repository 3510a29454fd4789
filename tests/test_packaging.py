"""The distribution: a wheel made from the sdist, complete, and light where it must be light."""

import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agents", "invoicing", "pipeline", "rackmeter", "schemas", "sinks")
BASE = ("confluent-kafka",)
# The agent's memory is paid on every rented machine; each of these costs megabytes there.
TOO_HEAVY = {
    *("aiokafka", "alembic", "faust", "httpx2", "numpy", "polars", "prometheus_client"),
    *("psycopg", "pydantic", "rich", "stripe", "structlog", "typer"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, by way of the sdist, built with the locked backend."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the base dependencies, nothing else."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--quiet"]
    subprocess.run([*uv, "--python", str(python), str(wheel)], check=True, capture_output=True)
    packages = next(home.glob("lib/python*/site-packages"))
    for name in BASE:
        copy_distribution(name, packages)
    return python


def copy_distribution(name: str, target: Path) -> None:
    """Install a distribution from this environment into another, without any network."""
    for file in Distribution.from_name(name).files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            destination = target / file
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), destination)


def run(python: Path, code: str) -> str:
    """What a program prints in the bare environment, away from the checkout."""
    done = subprocess.run(
        [python, "-I", "-c", code], check=False, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_rooms_and_no_other(wheel: Path) -> None:
    on_disk = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == on_disk


def test_the_licence_travels_along(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_all_rooms_import_from_a_bare_install(bare_python: Path) -> None:
    where = run(bare_python, f"import {', '.join(ROOMS)}; print(agents.__file__)")
    assert str(ROOT) not in where


def test_every_module_of_the_agent_imports_with_the_base_install_and_stays_light(
    bare_python: Path,
) -> None:
    code = (
        "import importlib, pkgutil, sys, agents\n"
        "for module in pkgutil.walk_packages(agents.__path__, 'agents.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted(name.partition('.')[0] for name in sys.modules))"
    )
    assert sorted(TOO_HEAVY.intersection(run(bare_python, code).split())) == []


def test_the_command_of_a_bare_install_runs_the_agent_and_says_what_the_rest_needs(
    bare_python: Path,
) -> None:
    command = str(bare_python.with_name("rackmeter"))
    sample = subprocess.run(
        [command, "agent", "sample"], check=True, capture_output=True, text=True
    )
    assert "net.rx_bytes" in sample.stdout
    demo = subprocess.run([command, "demo"], check=False, capture_output=True, text=True)
    assert (demo.returncode, demo.stdout) == (2, "")
    assert demo.stderr.count("\n") == 1
    assert "server" in demo.stderr
