"""A report as a table for people. Pure."""

from agents.sample import Reading
from schemas.meters import METERS
from schemas.report import Report

_HEAD = ("METER", "RESOURCE", "COUNTER", "UNIT", "READ NOW")


def text(report: Report, reading: Reading) -> str:
    """One line a series: the counter that would be sent, and the raw value read just now."""
    raw = {(sample.meter, sample.resource): f"{sample.value:,}" for sample in reading.samples}
    rows = [
        (meter, name or "-", f"{value:,}", METERS[meter].unit, raw.get((meter, name), "gone"))
        for meter, name, value in zip(report.meter, report.resource, report.value, strict=True)
    ]
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
    title = f"{report.server} · origin {report.origin} · report {report.seq}\n"
    return title + "".join(_line(row, widths) for row in (_HEAD, *rows))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    """Figures to the right, words to the left."""
    meter, name, value, unit, read = row
    a, b, c, d, e = widths
    return f"{meter:<{a}}  {name:<{b}}  {value:>{c}}  {unit:<{d}}  {read:>{e}}\n"
