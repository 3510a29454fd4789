"""The table of metrics keeps Prometheus' rules of names, and no label can grow without a bound."""

import re

import pytest

from schemas.metrics import LABELS, METRICS, Metric

UNITS = {"seconds", "bytes"}
"""Base units; whatever else is counted stands in the name or not at all."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_keeps_the_rules(metric: Metric) -> None:
    name = metric.name
    assert re.fullmatch(r"rackmeter(_[a-z]+)+", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|kib|mib|percent)(_|$)", name)
    if metric.unit in UNITS:
        assert name.removesuffix("_total").endswith(f"_{metric.unit}")
    else:
        assert not UNITS & set(name.split("_"))
    assert len(metric.help) > 20
    assert metric.help.endswith(".")
    assert set(metric.labels) <= LABELS.keys()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_histogram_alone_has_buckets_and_they_rise(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_names_are_given_once_and_labels_are_used() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names)) > 30
    assert {label for metric in METRICS for label in metric.labels} == LABELS.keys()


def test_no_label_names_a_customer_or_a_server() -> None:
    assert not LABELS.keys() & {"server", "account", "scope", "item", "kid", "address", "path"}
