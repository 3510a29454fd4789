"""What a collection leaves for Prometheus: ``collect.prom`` after each, ``collect_success.prom``
after one in which every call was answered.
"""

from datetime import datetime
from pathlib import Path

from invoicing.collecting.report import CollectReport
from rackmeter.cli.output import note
from rackmeter.textfile import write_textfile
from schemas import metrics
from schemas.errors import RackmeterError


def tell(folder: Path | None, report: CollectReport, now: datetime) -> None:
    """Nothing without a folder. A file that cannot be written is a line on stderr."""
    try:
        missing = len(report.unknown)
        write_textfile(folder, "collect", [(metrics.COLLECT_UNANSWERED, (), missing)])
        if not missing:
            success = (metrics.COLLECT_SUCCESS, (), now.timestamp())
            write_textfile(folder, "collect_success", [success])
    except RackmeterError as error:
        note(f"metrics: {error}")
