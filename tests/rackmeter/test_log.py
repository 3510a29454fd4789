"""Logs: one JSON object a line away from a terminal, and nothing on stdout."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from rackmeter.log import configure_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as pytest set it up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    structlog.get_logger().info("checkpoint taken", partition=3)
    logging.getLogger("aiokafka").warning("rebalance %s", "again")
    logging.getLogger("aiokafka").info("too much detail")
    ours, theirs = map(json.loads, out.getvalue().splitlines())
    assert (ours["event"], ours["partition"], ours["level"]) == ("checkpoint taken", 3, "info")
    assert ours["at"].endswith("Z")
    assert (theirs["event"], theirs["logger"]) == ("rebalance again", "aiokafka")
    assert capsys.readouterr().out == ""


def test_below_the_level_nothing_is_said() -> None:
    out = io.StringIO()
    configure_logging(level="warning", stream=out)
    structlog.get_logger().info("detail")
    assert out.getvalue() == ""


def test_a_terminal_gets_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    configure_logging(stream=out, json=False)
    structlog.get_logger().info("ready", port=9092)
    assert "ready" in out.getvalue()
    assert "port=9092" in out.getvalue()
    assert "\033" not in out.getvalue()
