"""Options that many commands share, and how their texts become values."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from rackmeter.errors import ConfigError, RefusedError

# As the wire allows it (schemas.validate), without what would need quoting in a shell or a file.
_SERVER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,255}")
_DURATION: Final = re.compile(r"(\d{1,6})(s|m|h|d)|0")
_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of the embedded servers (RACKMETER_DATA_DIR), where no other are set.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]


def example(*commands: str) -> str:
    """The end of a help page, kept as it is written."""
    head = "example:" if len(commands) == 1 else "examples:"
    return "\b\n" + "\n".join([head, *(f"  rackmeter {command}" for command in commands)])


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back; without a terminal, insist on --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is there to ask: repeat it with --yes or --dry-run.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("Nothing was changed.")


def instant(text: str | None, timezone: str = "UTC") -> datetime:
    """An instant as people write it: now, a day (its midnight), or ISO 8601; in UTC."""
    if text is None or text == "now":
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text} is no time; write 2026-10-01, 2026-10-01T12:30:00+02:00, or now."
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo(timezone))
    return found.astimezone(UTC)


def duration_ms(option: str, text: str, *, days_max: int) -> int:
    """Milliseconds of a duration as people write it: 0, 90s, 30m, 24h, 7d."""
    found = _DURATION.fullmatch(text)
    number, unit = (int(found[1] or 0), found[2] or "s") if found else (-1, "s")
    if not 0 <= number * _MS[unit] <= days_max * _MS["d"]:
        raise ConfigError(f"{option} is {text}; write 0, 90s, 30m, 24h or 7d, at most {days_max}d.")
    return number * _MS[unit]


def server_id(text: str) -> str:
    """An id that a server may report under."""
    if not _SERVER_ID.fullmatch(text):
        raise ConfigError(
            f"{text!r} is no server id; write letters, digits and . _ : @ + -, such as ax-017."
        )
    return text
