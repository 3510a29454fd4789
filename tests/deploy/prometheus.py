"""Prometheus and promtool from Debian, and what a running Prometheus answers.

Not a plugin: the tests of rules and of dashboards start from these parts.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fix_worker import wait_for

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
RULE_FILES = sorted((DEPLOYED / "rules").glob("*.yml"))
FAST = "200ms"


def rules() -> list[dict[str, Any]]:
    """Every rule that is deployed."""
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def tool(name: str) -> str:
    """Its path; skips where it is not installed, except on a build server."""
    found = shutil.which(name)
    if found is None:
        why = f"{name} is missing: apt install prometheus"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """What it prints; its own words when it is not content."""
    done = subprocess.run(
        [tool("promtool"), *map(str, arguments)],
        input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def page(address: str) -> str:
    """The text at http://``address``; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, ConnectionError):
        return ""


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def ask(self, path: str, **arguments: str) -> Any:
        query = urllib.parse.urlencode(arguments)
        text = page(f"{self.address}/api/v1/{path}?{query}")
        return json.loads(text)["data"] if text else None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of an instant vector."""
        found = self.ask("query", query=expression) or {"result": []}
        return [(row["metric"], float(row["value"][1])) for row in found["result"]]

    def firing(self, alert: str) -> list[dict[str, Any]]:
        found = (self.ask("alerts") or {"alerts": []})["alerts"]
        return [
            one for one in found if one["labels"]["alertname"] == alert and one["state"] == "firing"
        ]

    def rules(self) -> list[dict[str, Any]]:
        found = self.ask("rules") or {"groups": []}
        return [rule for group in found["groups"] for rule in group["rules"]]


def copied(folder: Path, targets: Mapping[str, list[str]]) -> Path:
    """What is deployed, in a hurry: other targets, and an alert fires at once."""
    shutil.copytree(DEPLOYED, folder, dirs_exist_ok=True)
    for file in (folder / "targets").glob("*.yml"):
        file.write_text(yaml.safe_dump([{"targets": targets.get(file.stem, [])}]))
    for file in (folder / "rules").glob("*.yml"):
        _rewrite(file, _without_waiting)
    _rewrite(folder / "prometheus.yml", _fast)
    return folder / "prometheus.yml"


@contextlib.contextmanager
def prometheus(folder: Path, targets: Mapping[str, list[str]]) -> Iterator[Prometheus]:
    """A server with the deployed configuration, ready; ends with the block."""
    program, port = tool("prometheus"), free_port()
    config, log = copied(folder, targets), folder / "prometheus.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
            ],
            stdout=stream, stderr=stream,
        )  # fmt: skip
    running = Prometheus(f"127.0.0.1:{port}", process, log)
    try:
        wait_for(lambda: page(f"{running.address}/-/ready"), "Prometheus")
        yield running
    finally:
        process.terminate()
        process.wait(10)


def _rewrite(file: Path, change: Callable[[Any], None]) -> None:
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def _without_waiting(content: Any) -> None:
    for group in content["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s"


def _fast(content: Any) -> None:
    content["global"] = {"scrape_interval": FAST, "evaluation_interval": FAST}
    jobs = content["scrape_configs"]
    content["scrape_configs"] = [job for job in jobs if job["job_name"] != "prometheus"]
