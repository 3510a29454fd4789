"""What a run of collecting did, for people and schedulers."""

from dataclasses import dataclass, field

from invoicing.collecting.balances import Applied
from invoicing.collecting.standing import Moved
from schemas.errors import DependencyError


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one invoice in this run."""

    invoice: str
    account: str
    amount: str
    currency: str
    state: str
    why: str = ""


@dataclass
class CollectReport:
    """A run, for people and schedulers."""

    dry_run: bool
    applied: list[Applied] = field(default_factory=list)
    collected: list[Collected] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Sentences about calls without an answer, and what could not be booked: the next run asks."""

    @property
    def exit_code(self) -> int:
        return DependencyError.exit_code if self.unknown else 0
