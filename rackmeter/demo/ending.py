"""The closing screen: every figure measured, with a check, and what to type next."""

import sys
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table

from rackmeter.demo.result import Result

PLAIN_COLUMNS: Final = 120
"""Where nobody knows the width; a line that breaks is hard to search."""
Row = tuple[bool, str, str]


def rows(result: Result) -> Iterator[Row]:
    """Check, what, figures."""
    machine, alert, fleet = result.this_machine, result.alert, result.fleet
    yield (
        machine.equal,
        f"This machine, {machine.nic}",
        f"kernel {machine.kernel_bytes:,} bytes, metered {machine.metered_bytes:,}",
    )
    yield (
        alert.count == alert.expected and not alert.unsigned,
        "Alerts about this machine",
        f"{alert.count} of {alert.expected}, {alert.latency_ms} ms from reading to delivery",
    )
    yield (
        alert.entered == alert.delivered and not alert.unsigned,
        "Alerts to all customers",
        f"{alert.delivered} of {alert.entered} by signed webhooks, {alert.repeated} repeated",
    )
    yield (
        fleet.verdicts == fleet.verdicts_expected,
        f"Fleet of {fleet.servers}, {result.invoices.month}",
        f"{fleet.reports:,} reports, {fleet.samples:,} samples, {fleet.samples_per_s:,}/s",
    )
    twice, overtaken = (fleet.verdicts.get(verdict, 0) for verdict in ("duplicate", "late"))
    refused = sum(
        count
        for verdict, count in fleet.verdicts.items()
        if verdict not in ("accepted", "duplicate", "late")
    )
    yield (
        fleet.verdicts == fleet.verdicts_expected,
        "Bad reports refused",
        f"{refused}; harmless: {twice} sent twice, {overtaken} overtaken",
    )
    kill = result.kill
    back = f"; the next took {kill.absence_s} s" if kill.absence_s is not None else ""
    yield (
        not kill.differences,
        f"Workers killed: {kill.workers_killed}",
        f"{kill.lost} units lost, {kill.doubled} doubled, in {kill.figures:,} totals{back}",
    )
    yield (
        not result.conservation.violations,
        "Windows sum to readings",
        f"{result.conservation.series} series, {result.conservation.violations} violations",
    )
    invoices, files = result.invoices, result.invoices.verified
    yield (
        invoices.count == invoices.expected and not invoices.altered,
        f"Invoices for {invoices.month}",
        f"{invoices.count}, {invoices.total:,} {invoices.currency}, {files} files verified",
    )
    yield (
        machine.invoice is not None,
        "This machine's own invoice",
        (
            f"{machine.invoice or 'none'}, {machine.total} {machine.currency};"
            " the window its end cuts is shared by time"
        ),
    )
    checked, differences = result.reconciliation.checked, result.reconciliation.differences
    yield not differences, "Reconciliation", f"{checked:,} figures, {differences} differences"


def show(result: Result) -> None:
    """The closing screen on stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_COLUMNS)
    table = Table(box=None, show_header=False, pad_edge=False)
    for fine, what, figures in rows(result):
        table.add_row("[green]✓[/green]" if fine else "[red]✗[/red]", what, figures)
    console.print()
    console.print(table)
    for failure in result.failures():
        console.print(f"[red]{failure}[/red]")
    total = sum(result.seconds.values())
    console.print(f"\n{total:.0f} s in all. All is in {result.data_dir}; rm -r it when done.")
    console.print("Go on with:")
    for command in result.next:
        console.print(f"  {command}", soft_wrap=True)
