"""Every panel that asks Prometheus, on a real one that has ten minutes of every metric."""

import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.metrics import METRICS, Metric
from tests.deploy.boards import BOARDS, panels
from tests.deploy.prometheus import Prometheus, free_port, page, promtool, tool
from tests.fix_worker import wait_for

START_S: Final = 1_774_000_000
STEP_S: Final = 15
STEPS: Final = 41
END_S: Final = START_S + STEP_S * (STEPS - 1)
VALUES: Final = {"partition": ("0", "1"), "verdict": ("accepted", "duplicate", "forged")}
"""Of labels that are shown one by one; of the others one value."""
TARGETS: Final = [
    (panel["title"], target["expr"], target["legendFormat"])
    for board in BOARDS
    for panel in panels(board, "prometheus")
    for target in panel["targets"]
]


def exposition() -> Iterator[str]:
    """OpenMetrics: what two workers would have exposed, a sample each 15 seconds."""
    for metric in METRICS:
        family = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        yield f"# TYPE {family} {metric.kind}"
        for labels in product(*(VALUES.get(name, ("x",)) for name in metric.labels)):
            pairs = [f'{n}="{v}"' for n, v in zip(metric.labels, labels, strict=True)]
            for worker in ("worker-1:9464", "worker-2:9464"):
                yield from _samples(metric, [*pairs, f'instance="{worker}"'])
    yield "# EOF"


def _samples(metric: Metric, pairs: list[str]) -> Iterator[str]:
    bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
    for step in range(STEPS):
        at = START_S + step * STEP_S
        if metric.kind != "histogram":
            value = at - 3 if metric.name.endswith("timestamp_seconds") else 10 * step
            yield f"{metric.name}{{{','.join(pairs)}}} {value} {at}"
            continue
        for rank, bound in enumerate(bounds, 1):
            within = ",".join([*pairs, f'le="{bound}"'])
            yield f"{metric.name}_bucket{{{within}}} {step * rank} {at}"
        labels = ",".join(pairs)
        yield f"{metric.name}_count{{{labels}}} {step * len(bounds)} {at}"
        yield f"{metric.name}_sum{{{labels}}} {step} {at}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus over these samples; it scrapes nobody."""
    folder: Path = tmp_path_factory.mktemp("metrics")
    text, config, port = folder / "metrics.txt", folder / "prometheus.yml", free_port()
    text.write_text("\n".join(exposition()) + "\n")
    config.write_text("global: {}\n")
    promtool("tsdb", "create-blocks-from", "openmetrics", text, folder / "data")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"), f"--config.file={config}", "--log.level=warn",
                f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    found = Prometheus(f"127.0.0.1:{port}", process, folder / "log")
    try:
        wait_for(lambda: page(f"{found.address}/-/ready"), "Prometheus")
        yield found
    finally:
        process.terminate()
        process.wait(10)


def asked(running: Prometheus, expression: str) -> list[dict[str, Any]]:
    """As Grafana asks for a graph; its interval of rates is four scrapes."""
    found: dict[str, Any] = running.ask(
        "query_range", query=expression.replace("$__rate_interval", "1m"),
        start=str(END_S - 300), end=str(END_S), step="15",
    )  # fmt: skip
    series: list[dict[str, Any]] = found["result"]
    return series


@pytest.mark.parametrize(("title", "expression", "legend"), TARGETS)
def test_a_panel_answers_with_series(
    running: Prometheus, title: str, expression: str, legend: str
) -> None:
    series = asked(running, expression)
    assert series, title
    for one in series:
        assert len(one["values"]) == 21
        assert all(value not in ("NaN", "+Inf") for _, value in one["values"])
        if "{{" in legend:
            assert one["metric"].get(legend.strip("{}"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("time() - min(rackmeter_partition_complete_timestamp_seconds)", {(): 3}),
        (
            "sum by (verdict) (rate(rackmeter_reports_total[$__rate_interval]))",
            {("accepted",): 4 / 3, ("duplicate",): 4 / 3, ("forged",): 4 / 3},
        ),
        ("max(rackmeter_outbox_alerts)", {(): 400}),
    ],
)
def test_what_it_says_is_so(
    running: Prometheus, expression: str, expected: dict[tuple[str, ...], float]
) -> None:
    assert expression in [one for _, one, _ in TARGETS]
    found = {
        tuple(one["metric"].values()): pytest.approx(float(one["values"][-1][1]))
        for one in asked(running, expression)
    }
    assert expected == found
