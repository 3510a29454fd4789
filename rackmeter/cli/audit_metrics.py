"""What a verification of the audit trail leaves for Prometheus: ``audit.prom`` after each,
``audit_success.prom`` after one that found nothing.
"""

from datetime import datetime
from pathlib import Path

from rackmeter.audit_trail import Outcome
from rackmeter.textfile import write_textfile
from schemas import metrics


def tell(folder: Path | None, done: Outcome, now: datetime) -> None:
    """Nothing without a folder."""
    found = done.verified
    write_textfile(
        folder,
        "audit",
        [
            (metrics.AUDIT_ACTS, (), found.acts),
            (metrics.AUDIT_FINDINGS, (), len(found.findings)),
            (metrics.AUDIT_HEADS, (), done.heads),
        ],
    )
    if not found.findings and done.heads:
        write_textfile(folder, "audit_success", [(metrics.AUDIT_SUCCESS, (), now.timestamp())])
