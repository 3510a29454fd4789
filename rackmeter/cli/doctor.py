"""`rackmeter doctor`: does a live installation do its work, and what to do where it does not."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

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
    app.command(
        "doctor",
        epilog=example(
            "doctor",
            "doctor --probe 10   # a report of every partition into the ledger within 10 s",
            "doctor --json",
        ),
    )(doctor)


def doctor(
    probe: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, max=600, help="Send signed reports through, and wait so long."
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Check a whole installation, and say what is wrong, why it matters and what mends it.

    Looks at Python, libraries, data folder, database, store, roles, maintenance, clocks, master
    key, broker, topics, workers, rater, deliveries, servers' keys, webhooks and backups; changes
    nothing. With --probe, a signed report for each partition goes from a producer to the ledger:
    that registers servers rackmeter-probe-N, which serve nobody and use nothing.

    The exit code is that of the worst finding; warnings are 0.
    """
    findings = list(_findings(data_dir, probe))
    worst = max((finding.exit_code for finding in findings), default=0)
    if json:
        document({"findings": [asdict(finding) for finding in findings], "exit_code": worst})
    else:
        for finding in findings:
            lines(_told(finding))
    raise typer.Exit(worst)


def _findings(data_dir: DataDir, probe: float | None) -> Iterator[Finding]:
    from rackmeter.cli.check_topics import topics  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.checks import (  # noqa: PLC0415
        broker,
        data_folder,
        database,
        libraries,
        master_key,
        python,
    )
    from rackmeter.cli.look import looked  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    yield Finding("python", python())
    yield from _look("libraries", libraries)
    try:
        settings = load_settings(data_dir=data_dir)
    except ConfigError as error:
        yield Finding("settings", str(error), error.exit_code)
        return
    yield from _look("data folder", lambda: data_folder(settings, FREE_MIB_MIN))
    yield from looked("database", lambda: [Finding("database", database(settings))])
    yield from looked("master key", lambda: [Finding("master key", master_key(settings))])
    reached = list(_look("broker", lambda: broker(settings)))
    yield from reached
    if reached[0].exit_code == 0:
        yield from looked("topics", lambda: topics(settings))
    yield from _look_at_work(settings, probe, broker=reached[0].exit_code == 0)


def _look_at_work(settings: "Settings", probe: float | None, *, broker: bool) -> Iterator[Finding]:
    """Where the database has the tables of this version; what is wrong else was said before."""
    from rackmeter.cli.check_probe import probed  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.check_store import store  # noqa: PLC0415
    from rackmeter.cli.check_work import work  # noqa: PLC0415
    from rackmeter.cli.checks import cluster_in_force, open_ledger  # noqa: PLC0415
    from rackmeter.cli.look import looked  # noqa: PLC0415

    conn = open_ledger(settings)
    if conn is None:
        return
    tolerance = timedelta(milliseconds=settings.clock_tolerance_ms)
    with conn:
        yield from looked("store", lambda: store(conn, tolerance))
        where = cluster_in_force(settings) if broker else None
        if where is None:
            return
        yield from looked("work", lambda: work(settings, conn, where))
        if probe is not None:
            yield from looked("probe", lambda: probed(settings, conn, where, probe))


def _look(check: str, look: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(check, look())
    except RackmeterError as error:
        yield Finding(check, str(error), error.exit_code)
    except OSError as error:
        yield Finding(check, f"{error.filename}: {error.strerror}", DependencyError.exit_code)


def _told(finding: Finding) -> Iterator[str]:
    yield f"{_mark(finding)} {finding.check}: {finding.found}"
    if finding.why:
        yield f"       {finding.why}"
    if finding.todo:
        yield f"       → {finding.todo}"


def _mark(finding: Finding) -> str:
    if finding.exit_code:
        return "FAIL"
    return "warn" if finding.warning else "ok  "
