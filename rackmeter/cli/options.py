"""Options that many commands share, and how their texts become values."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from rackmeter.errors import ConfigError, RefusedError

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
