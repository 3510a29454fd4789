"""Metrics of jobs that end: a file each for node_exporter's textfile collector.

A nightly job does not live long enough to be scraped, and a gateway in between would keep its
figures for ever. The file is replaced whole, so nobody reads half of one.
"""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from rackmeter.exposition import gauge
from rackmeter.files import replacing
from schemas.metrics import Metric

Value = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels, and what it shows."""


def write_textfile(folder: Path | None, name: str, values: Iterable[Value]) -> None:
    """Write ``name``.prom; nothing without a folder. Raises when that cannot be written to."""
    if folder is None:
        return
    registry, made = CollectorRegistry(), {}
    for metric, labels, value in values:
        if metric.name not in made:
            made[metric.name] = gauge(metric, registry)
        shown = made[metric.name].labels(*labels) if labels else made[metric.name]
        shown.set(value)
    with replacing(folder / f"{name}.prom") as file:
        file.write(generate_latest(registry))
