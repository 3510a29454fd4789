"""The usage appendix: a chart for each metered line, what was observed, readings. Pure.

Heights, sums and the largest day are for the eye; the attachment has the exact figures.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from invoicing.document import Document, DocumentLine, Series, scope_of
from invoicing.documents import figures
from invoicing.documents.words import Words
from invoicing.pieces import item_of, metered

PERMILLE: Final = 1000
WINDOW: Final = timedelta(minutes=5)
READINGS_MAX: Final = 3
"""Series of a chart whose readings are on the page; the attachment has all."""
ALL: Final = Decimal(100)


def charts(document: Document, words: Words) -> list[dict[str, Any]]:
    """One for each line that has evidence, in the order of the lines."""
    return [_chart(document, words, row) for row in document.lines if row.evidence]


def _chart(document: Document, words: Words, row: DocumentLine) -> dict[str, Any]:
    scope = scope_of(document, row.line)
    measured = metered(scope, row.line)
    assert measured is not None  # only metered charges have evidence
    days = [sum(day) for day in zip(*(series.days for series in row.evidence), strict=True)]
    highest, unit, locale = max(days, default=0), measured.unit, words.locale
    first, last = figures.ends(document.period, ZoneInfo(document.timezone), locale)
    return {
        "title": item_of(scope, row.line).title_at(row.line.service.start),
        "total": figures.base_as(row.line.base_quantity, unit, locale),
        "detail": words.measured.format(servers=_names(row.evidence), meters=_meters(row)),
        "notes": [*_observed(document, words, row), *_readings(document, words, row)],
        "days": [day * PERMILLE // highest if highest else 0 for day in days],
        "first": first,
        "last": last,
        "peak": words.peak.format(peak=figures.base_as(highest, unit, locale)),
    }


def _observed(document: Document, words: Words, row: DocumentLine) -> Iterator[str]:
    """The share that was observed, and where it was not, as far as the evidence says."""
    if row.coverage is None:
        return
    said = words.coverage.format(percent=figures.percent(row.coverage, words.locale))
    if row.coverage == ALL:
        yield said
        return
    zone, line = ZoneInfo(document.timezone), row.line
    first = min(series.first for series in row.evidence)
    last = max(series.last for series in row.evidence) + WINDOW
    spans = []
    if first >= line.service.start + WINDOW:
        spans.append(words.before.format(at=figures.moment(first, zone, words.locale)))
    if line.service.end is not None and last <= line.service.end - WINDOW:
        spans.append(words.after.format(at=figures.moment(last, zone, words.locale)))
    missing = words.unobserved.format(spans=", ".join(spans) or words.between)
    yield f"{said} · {missing}"


def _readings(document: Document, words: Words, row: DocumentLine) -> Iterator[str]:
    """The counter's first and last reading kept of each series; it may begin anew in between."""
    zone, locale = ZoneInfo(document.timezone), words.locale
    for series in row.evidence[:READINGS_MAX]:
        if series.readings:
            first = min(series.readings, key=lambda one: one.at)
            last = max(series.readings, key=lambda one: one.at)
            name = f"{series.server} {series.resource}".strip()
            then, now = (
                f"{figures.amount(Decimal(one.value), locale)}"
                f" ({figures.moment(one.at, zone, locale)})"
                for one in (first, last)
            )
            yield f"{name}: {then} → {now}"


def _names(evidence: tuple[Series, ...]) -> str:
    return ", ".join(dict.fromkeys(series.server for series in evidence))


def _meters(row: DocumentLine) -> str:
    return ", ".join(
        dict.fromkeys(f"{series.meter} {series.resource}".strip() for series in row.evidence)
    )
