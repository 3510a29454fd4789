"""Metrics of an exporter, in the text format of Prometheus, as samples of meters. No arithmetic
across readings.

A rule picks series of a metric by their labels and says which meter they are, in which unit, and
of which server and resource: words that may hold ``{label}``. A counter of the exporter that starts
again at zero is a reset; a gauge is integrated where its meter is (agents/integrate.py). Values are
floats in this format: up to 2**53 units they are exact, and what is not a whole number of units is
floored.
"""

import asyncio
import math
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line

from agents import clock
from agents.integrate import RULES, How
from agents.sample import Sample, resource_name
from rackmeter.collect.source import Seen

BYTES_MAX: Final = 64 * 2**20
"""An exporter of a thousand machines writes a tenth of this."""
TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rule:
    """``scale`` units of the meter are one of the metric's."""

    metric: str
    meter: str
    server: str
    resource: str = ""
    scale: Decimal = Decimal(1)
    where: Mapping[str, str] = field(default_factory=dict)
    level: bool = False
    """Power, of a meter of energy: microwatts, which are integrated."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """One address, its rules, and the servers that may come out of them."""

    name: str
    url: str
    rules: tuple[Rule, ...]
    servers: frozenset[str]

    @property
    def meters(self) -> frozenset[str]:
        return frozenset(rule.meter for rule in self.rules)

    async def look(self) -> Seen:
        try:
            text = await asyncio.to_thread(_fetched, self.url)
            now = clock.now()
            found = dict(samples(text, self.rules, self.name))
        except (OSError, ValueError) as error:
            return Seen(clock.now(), said=f"exporter {self.name} at {self.url}: {error}")
        unknown = sorted(found.keys() - self.servers)
        known = {server: tuple(found[server]) for server in found.keys() & self.servers}
        said = f"exporter {self.name} tells of {', '.join(unknown)}, which is not in servers"
        return Seen(now, known, said if unknown else "")


def samples(text: str, rules: Iterable[Rule], exporter: str) -> Iterator[tuple[str, list[Sample]]]:
    """By server. Raises ValueError for what is not the format, and for one series twice."""
    by_metric: dict[str, list[Rule]] = {}
    for rule in rules:
        by_metric.setdefault(rule.metric, []).append(rule)
    found: dict[str, dict[tuple[str, str], Sample]] = {}
    for family in text_string_to_metric_families(text):
        for line in family.samples:
            for rule in by_metric.get(line.name, ()):
                if not _fits(rule, line):
                    continue
                server, sample = _server(rule, line), _sample(rule, line, exporter)
                key = (sample.meter, sample.resource)
                if key in found.setdefault(server, {}):
                    raise ValueError(f"{rule.metric} gives {key} of {server} twice; add labels")
                found[server][key] = sample
    for server, of_server in found.items():
        yield server, list(of_server.values())


def _fits(rule: Rule, line: Line) -> bool:
    """NaN is no reading; no counter and no used space is below zero."""
    labelled = all(line.labels.get(name) == value for name, value in rule.where.items())
    return labelled and math.isfinite(line.value) and line.value >= 0


def _server(rule: Rule, line: Line) -> str:
    return _filled(rule.server, line.labels)


def _sample(rule: Rule, line: Line, exporter: str) -> Sample:
    name = resource_name(_filled(rule.resource, line.labels).encode())
    value = math.floor(Decimal(line.value) * rule.scale)
    how, divisor = RULES[rule.meter]
    unit = divisor if how is How.COUNTED else 1
    device = f"{exporter}/{rule.metric}/{name}"
    return Sample(rule.meter, name, value, device, unit=unit, level=rule.level)


def _filled(words: str, labels: Mapping[str, str]) -> str:
    """Raises ValueError for a label that the series does not have."""
    try:
        return words.format_map(dict(labels))
    except KeyError as error:
        raise ValueError(f"a series has no label {error.args[0]!r}, wanted in {words!r}") from error


def _fetched(url: str) -> str:
    wanted = urllib.request.Request(url, headers={"Accept": "text/plain;version=0.0.4"})
    with urllib.request.urlopen(wanted, timeout=TIMEOUT_S) as answer:
        body: bytes = answer.read(BYTES_MAX + 1)
    if len(body) > BYTES_MAX:
        raise ValueError(f"it answers with more than {BYTES_MAX >> 20} MiB")
    return body.decode("utf-8")
