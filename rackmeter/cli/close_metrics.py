"""What a close leaves for Prometheus: ``close.prom`` after each, ``close_success.prom`` after a
good one, so that the time of the last success outlives the failures after it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from invoicing.report import CloseReport, Status
from rackmeter.cli.output import note
from rackmeter.textfile import Value, write_textfile
from schemas import metrics
from schemas.errors import EXIT_DONE, RackmeterError


@contextlib.contextmanager
def telling(folder: Path | None) -> Iterator[Callable[[CloseReport], None]]:
    """Around a close; gives what is to be called with its report. A failure is told as well.

    A file that cannot be written is a line on stderr: the invoices stand.
    """
    began, reports = time.monotonic(), list[CloseReport]()
    code = RackmeterError.exit_code
    try:
        yield reports.append
        code = reports[-1].exit_code
    except RackmeterError as error:
        code = error.exit_code
        raise
    finally:
        try:
            _write(folder, time.monotonic() - began, code, reports)
        except RackmeterError as error:
            note(f"metrics: {error}")


def _write(folder: Path | None, seconds: float, code: int, reports: list[CloseReport]) -> None:
    now = time.time()
    found = [value for report in reports for value in _found(report)]
    write_textfile(folder, "close", [*_run(now, seconds, code), *found])
    if code == EXIT_DONE:
        write_textfile(folder, "close_success", [(metrics.CLOSE_SUCCESS, (), now)])


def _run(now: float, seconds: float, code: int) -> Iterator[Value]:
    yield metrics.CLOSE_RUN, (), now
    yield metrics.CLOSE_SECONDS, (), seconds
    yield metrics.CLOSE_EXIT, (), code


def _found(report: CloseReport) -> Iterator[Value]:
    for status in Status:
        yield metrics.CLOSE_INVOICES, (status.value,), len(report.having(status))
    yield metrics.CLOSE_CHECKS, (), report.checked
    yield metrics.CLOSE_DIFFERENCES, (), len(report.differences)
