"""A report as a table for people."""

from agents import table
from agents.sample import Sample
from schemas.report import Report
from tests.agents.words import cpu, disk, nic, reading

REPORT = Report(
    *("ax-1", "o1", 0, 7, 60_000, 60_000, 60_000),
    meter=("cpu.busy_ms", "disk.used_mib_s", "net.rx_bytes"),
    resource=("", "/", "eth0"),
    value=(1_234, 5, 1_000_000),
)


def test_words_stand_left_and_figures_right_with_the_raw_value_beside_the_counter() -> None:
    raw: tuple[Sample, ...] = (cpu(99), disk(2**30), nic(12))
    assert table.text(REPORT, reading(60_000, *raw)) == (
        "ax-1 · origin o1 · report 7\n"
        "METER            RESOURCE    COUNTER  UNIT         READ NOW\n"
        "cpu.busy_ms      -             1,234  ms                 99\n"
        "disk.used_mib_s  /                 5  MiBy.s  1,073,741,824\n"
        "net.rx_bytes     eth0      1,000,000  By                 12\n"
    )
