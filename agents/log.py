"""Log lines on stderr, for a person or as JSON. Standard library only: the agent carries no logging
package.
"""

import json
import logging
import sys
from datetime import UTC, datetime

log = logging.getLogger("rackmeter.agent")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        )


def set_up(log_format: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("rackmeter agent: %(levelname)s: %(message)s")
    handler.setFormatter(_Json() if log_format == "json" else plain)
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class Once:
    """Says a sentence when it is new, so that a lasting state is one line and not one a minute."""

    def __init__(self, level: int = logging.WARNING) -> None:
        self._level = level
        self._said: str | None = None

    def __call__(self, sentence: str) -> None:
        if sentence and sentence != self._said:
            log.log(self._level, "%s", sentence)
        self._said = sentence
