"""The lock: complete, hashed, satisfying what pyproject.toml asks for, and free of addresses."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def asked_for() -> Iterator[Requirement]:
    """Every requirement of the project: base, extras, groups, build backend."""
    project = PYPROJECT["project"]
    lists = [project["dependencies"], PYPROJECT["build-system"]["requires"]]
    lists += project["optional-dependencies"].values()
    lists += PYPROJECT["dependency-groups"].values()
    for item in (item for one in lists for item in one if isinstance(item, str)):
        requirement = Requirement(item)
        if requirement.name != project["name"]:
            yield requirement


def locked() -> dict[str, list[str]]:
    """Name → versions; two where a marker tells Pythons apart."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


@pytest.mark.parametrize("requirement", list(asked_for()), ids=str)
def test_what_is_asked_for_is_locked(requirement: Requirement) -> None:
    versions = locked()[canonicalize_name(requirement.name)]
    assert [v for v in versions if v not in requirement.specifier] == []


def test_every_pin_has_hashes() -> None:
    pins = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_lock_has_no_address() -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links|@\s", LOCK)


def test_no_other_lock_is_kept() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_each_requirement_says_why() -> None:
    """A dependency without a reason is one nobody dares to remove."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if re.match(r'\s+"[\w.\[\]-]+[<>=~]=', line)]
    assert len(named) > 20
    assert [line for line in named if "# " not in line] == []
