"""Options that many commands share, and how their texts become values."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from rackmeter.errors import ConfigError, RefusedError

_DAY: Final = re.compile(r"[0-9W-]+")
_YEARS: Final = range(1970, 9999)
"""PostgreSQL and every zone's clock hold them with a year to spare."""
_NONE: Final = timedelta(0)
# As the wire allows it (schemas.validate), without what would need quoting in a shell or a file.
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,255}")
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
    """An instant as people write it: now, a day (its beginning), or ISO 8601; in UTC.

    A day, or a time without an offset, is that of the zone.
    """
    if text is None or text == "now":
        return datetime.now(UTC)
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text} is no time; write 2026-10-01, 2026-10-01T12:30:00+02:00, or now."
        ) from None
    try:
        if written.tzinfo is None:
            written = _in_zone(text, written, timezone)
        found = written.astimezone(UTC)
    except OverflowError:
        found = None
    if found is None or found.year not in _YEARS:
        raise ConfigError(
            f"{text} is no time for a bill; write a year from {_YEARS[0]} to {_YEARS[-1]}."
        )
    return found


def is_local(text: str | None) -> bool:
    """A day, or a time without an offset: which instant that is depends on the zone."""
    try:
        return text is not None and datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def _in_zone(text: str, written: datetime, timezone: str) -> datetime:
    """A day begins where months do (pipeline.periods.midnight), whatever the clocks do then."""
    before, after = (written.replace(tzinfo=ZoneInfo(timezone), fold=fold) for fold in (0, 1))
    change = (after.utcoffset() or _NONE) - (before.utcoffset() or _NONE)
    if not change or _DAY.fullmatch(text):
        return before
    raise ConfigError(
        f"{text} {'is skipped' if change > _NONE else 'comes twice'} in {timezone}, where the"
        f" clocks change: say which with an offset, {before.isoformat()} or {after.isoformat()}."
    )


def duration_ms(option: str, text: str, *, days_max: int) -> int:
    """Milliseconds of a duration as people write it: 0, 90s, 30m, 24h, 7d."""
    found = _DURATION.fullmatch(text)
    number, unit = (int(found[1] or 0), found[2] or "s") if found else (-1, "s")
    if not 0 <= number * _MS[unit] <= days_max * _MS["d"]:
        raise ConfigError(f"{option} is {text}; write 0, 90s, 30m, 24h or 7d, at most {days_max}d.")
    return number * _MS[unit]


def server_id(text: str) -> str:
    """An id that a server may report under."""
    return identifier("server", text, "ax-017")


def identifier(what: str, text: str, such: str = "web-1") -> str:
    """An id that a person gives: of a server, an item, a scope, a customer."""
    if not _ID.fullmatch(text):
        raise ConfigError(
            f"{text!r} is no {what} id; write letters, digits and . _ : @ + -, such as {such}."
        )
    return text
