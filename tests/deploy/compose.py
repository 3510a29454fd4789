"""compose.yaml as a dictionary, its variables put in as `docker compose` would."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
FILE = FOLDER / "compose.yaml"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([?-])([^}]*))?\}|\$(\w+)")


def load(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """With ``variables``, interpolated; a KeyError names one that is missing."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return document if variables is None else _interpolated(document, variables)


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolated(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [_interpolated(inner, variables) for inner in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _value(found, variables), value)
    return value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    return "$" if found[0] == "$$" else variables[found[1] or found[4]]


def environment_file(path: Path) -> dict[str, str]:
    """What `deploy/prepare` wrote into .env."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines())
