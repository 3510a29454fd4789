"""`rackmeter doctor`: can everything that is needed be reached, and what to do where it cannot."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from rackmeter.cli.finding import Finding
from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines
from rackmeter.errors import ConfigError, DependencyError, RackmeterError

if TYPE_CHECKING:
    from rackmeter.settings import Settings

FREE_MIB_MIN = 512


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    app.command("doctor", epilog=example("doctor", "doctor --json"))(doctor)


def doctor(data_dir: DataDir = None, json: Json = False) -> None:
    """Check what rackmeter needs, and say what to mend.

    Looks at Python, libraries, data folder, database, master key, broker and topics; changes
    nothing.
    """
    findings = list(_findings(data_dir))
    worst = max((finding.exit_code for finding in findings), default=0)
    if json:
        document({"findings": [asdict(finding) for finding in findings], "exit_code": worst})
    else:
        lines(f"{_mark(finding)} {finding.check}: {finding.found}" for finding in findings)
    raise typer.Exit(worst)


def _findings(data_dir: DataDir) -> Iterator[Finding]:
    from rackmeter.cli.checks import (  # noqa: PLC0415 - starts slowly
        broker,
        data_folder,
        database,
        libraries,
        master_key,
        python,
    )
    from rackmeter.settings import load_settings  # noqa: PLC0415

    yield Finding("python", python())
    yield from _look("libraries", libraries)
    try:
        settings = load_settings(data_dir=data_dir)
    except ConfigError as error:
        yield Finding("settings", str(error), error.exit_code)
        return
    yield from _look("data folder", lambda: data_folder(settings, FREE_MIB_MIN))
    yield from _look("database", lambda: database(settings))
    yield from _look("master key", lambda: master_key(settings))
    reached = list(_look("broker", lambda: broker(settings)))
    yield from reached
    if reached[0].exit_code == 0:
        yield from _look_at_topics(settings)


def _look_at_topics(settings: "Settings") -> Iterator[Finding]:
    from rackmeter.cli.check_topics import topics  # noqa: PLC0415 - starts slowly

    try:
        yield from topics(settings)
    except RackmeterError as error:
        yield Finding("topics", str(error), error.exit_code)


def _look(check: str, look: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(check, look())
    except RackmeterError as error:
        yield Finding(check, str(error), error.exit_code)
    except OSError as error:
        yield Finding(check, f"{error.filename}: {error.strerror}", DependencyError.exit_code)


def _mark(finding: Finding) -> str:
    if finding.exit_code:
        return "FAIL"
    return "warn" if finding.warning else "ok  "
