"""What each setting may be: one parser a field, each saying what is allowed. Pure.

A parser takes what a file, the environment or a flag says, and raises ValueError with the allowed
form.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from schemas.report import NAME_CHARS_MAX

Parse = Callable[[object], Any]


def _text(found: object) -> str:
    if isinstance(found, str) and found and found.isprintable():
        return found
    raise ValueError("a printable text that is not empty")


def _name(found: object) -> str:
    if isinstance(found, str) and len(found) <= NAME_CHARS_MAX and found and found.isprintable():
        return found
    raise ValueError(f"a printable text of 1 to {NAME_CHARS_MAX} characters")


def _topic(found: object) -> str:
    if isinstance(found, str) and re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", found):
        return found
    raise ValueError("1 to 249 letters, digits, dots, underscores or hyphens")


def _path(found: object) -> Path:
    return Path(_text(found))


def _seconds(low: float, high: float) -> Parse:
    def parse(found: object) -> int:
        """In milliseconds: from here on there are only integers."""
        try:
            if isinstance(found, (str, int, float)) and not isinstance(found, bool):
                seconds = float(found)
                if low <= seconds <= high:
                    return round(seconds * 1000)
        except ValueError:
            pass
        raise ValueError(f"a number of seconds from {low:g} to {high:g}")

    return parse


def _whole(low: int, high: int) -> Parse:
    def parse(found: object) -> int:
        if isinstance(found, str) and found.isascii() and found.isdigit():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and low <= found <= high:
            return found
        raise ValueError(f"a whole number from {low} to {high}")

    return parse


def _flag(found: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and found.lower() in words:
        return words[found.lower()]
    raise ValueError("true or false")


def _globs(found: object) -> tuple[str, ...]:
    if isinstance(found, str):
        return tuple(part.strip() for part in found.split(",") if part.strip())
    if isinstance(found, list) and all(isinstance(part, str) and part for part in found):
        return tuple(found)
    raise ValueError('a list of texts like ["eth*"] (in the environment: separated by commas)')


def _log_format(found: object) -> str:
    if isinstance(found, str) and found in ("plain", "json"):
        return found
    raise ValueError("plain or json")


FIELDS: Final[dict[str, Parse]] = {
    "server": _name,
    "bootstrap": _text,
    "topic": _topic,
    "environment": _name,
    "key_file": _path,
    "state": _path,
    "interval": _seconds(0.05, 3600),
    "log_format": _log_format,
    "root": _path,
    "network.loopback": _flag,
    "network.include": _globs,
    "network.exclude": _globs,
    "network.wrap32": _globs,
    "storage.exclude": _globs,
    "storage.types": _globs,
    "gpu.interval": _seconds(0.1, 60),
    "kafka_password_file": _path,
    "spool.mib": _whole(1, 65_536),
    "spool.sync": _seconds(0, 3600),
}
