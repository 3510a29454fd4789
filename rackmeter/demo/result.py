"""The figures of a demonstration, as data, and which of them are not as they must be. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """Bytes between the first and the last reading: the kernel's count against the ledger's."""

    server: str
    nic: str
    kernel_bytes: int
    metered_bytes: int
    """From the windows of the ledger."""
    readings_bytes: int
    """From the readings of the ledger."""
    reports: int
    invoice: str | None = None
    total: Decimal | None = None
    currency: str | None = None

    @property
    def equal(self) -> bool:
        return self.kernel_bytes == self.metered_bytes == self.readings_bytes


@dataclass(frozen=True, slots=True)
class Alerts:
    """Webhooks about this machine, from the reading that crossed to the receiver's answer."""

    count: int
    expected: int
    latency_ms: int | None
    """The median."""
    latency_max_ms: int | None
    entered: int = 0
    """Crossings of all customers, the fleet's included."""
    delivered: int = 0
    """Different ones of them that the receiver got."""
    repeated: int = 0
    """Events that came again under the same id: a kill can hit between sending and recording."""
    unsigned: int = 0
    """Requests whose signature did not verify."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What was sent, and how fast it was metered."""

    servers: int
    reports: int
    samples: int
    seconds: float
    verdicts: dict[str, int]
    """What the meter made of the reports."""
    verdicts_expected: dict[str, int]

    @property
    def samples_per_s(self) -> int:
        return round(self.samples / self.seconds)

    @property
    def reports_per_s(self) -> int:
        return round(self.reports / self.seconds)


@dataclass(frozen=True, slots=True)
class Kill:
    """Units that the ledger lacks or has twice after a worker was killed."""

    workers_killed: int
    lost: int
    doubled: int
    figures: int
    """Compared with the truth: life, period and readings of every series."""
    differences: int
    absence_s: float | None = None
    """The longest time from a kill to the next commit of another worker."""


@dataclass(frozen=True, slots=True)
class Conservation:
    """Series whose windows do not sum to their readings."""

    series: int
    violations: int


@dataclass(frozen=True, slots=True)
class Invoices:
    """The fleet's month, closed."""

    month: str
    count: int
    expected: int
    total: Decimal
    currency: str
    pdf: str
    verified: int
    """Files that were recomputed and agree."""
    altered: int
    """Files that do not."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Comparisons before the seals."""

    checked: int
    differences: int


@dataclass(frozen=True, slots=True)
class Result:
    """A whole demonstration."""

    seed: int
    data_dir: str
    this_machine: ThisMachine
    alert: Alerts
    fleet: Fleet
    kill: Kill
    conservation: Conservation
    invoices: Invoices
    reconciliation: Reconciliation
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage."""
    next: tuple[str, ...] = ()
    """Commands to go on with."""

    def document(self) -> dict[str, Any]:
        """The result as one JSON document."""
        found = asdict(self)
        found["this_machine"]["equal"] = self.this_machine.equal
        found["fleet"]["samples_per_s"] = self.fleet.samples_per_s
        found["fleet"]["reports_per_s"] = self.fleet.reports_per_s
        return {"ok": not list(self.failures()), **found, "failures": list(self.failures())}

    def failures(self) -> Iterator[str]:
        """One sentence for each figure that differs from what it must be."""
        machine, invoices = self.this_machine, self.invoices
        if not machine.equal:
            yield (
                f"The kernel counted {machine.kernel_bytes} bytes on {machine.nic}, the ledger "
                f"holds {machine.metered_bytes} in windows, {machine.readings_bytes} in readings."
            )
        if machine.invoice is None:
            yield "This machine's final invoice was not issued."
        if self.alert.count != self.alert.expected or self.alert.unsigned:
            yield (
                f"{self.alert.count} of {self.alert.expected} alerts arrived, "
                f"{self.alert.unsigned} requests were not signed."
            )
        if self.alert.entered != self.alert.delivered:
            yield f"{self.alert.entered} crossings, but {self.alert.delivered} were delivered."
        if self.kill.differences:
            yield (
                f"{self.kill.differences} of {self.kill.figures} totals differ from the truth: "
                f"{self.kill.lost} units lost, {self.kill.doubled} doubled."
            )
        if self.fleet.verdicts != self.fleet.verdicts_expected:
            yield f"Reports ended as {self.fleet.verdicts}, not as {self.fleet.verdicts_expected}."
        if self.conservation.violations:
            yield f"{self.conservation.violations} series do not sum to their readings."
        if self.reconciliation.differences:
            yield f"Reconciliation found {self.reconciliation.differences} differences."
        if invoices.count != invoices.expected or invoices.altered:
            yield (
                f"{invoices.count} of {invoices.expected} invoices were issued, {invoices.altered} "
                f"files do not verify. {' '.join(invoices.reasons)}".rstrip()
            )
