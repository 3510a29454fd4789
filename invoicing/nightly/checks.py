"""The nightly checks: each figure got in two ways that share as little as may be. Reads only.

Reconciliation before each seal guards invoices (``invoicing.reconcile``); this looks at what no
invoice asks about, and at all of it again. A check that fails by itself is a difference too: the
others go on.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import psycopg

from invoicing.nightly.again import metered_again
from invoicing.nightly.base import Found, Night
from invoicing.nightly.inventory import items, provisioning, servers
from invoicing.nightly.metering import archived, conservation
from invoicing.nightly.money import accruals, books, law
from invoicing.nightly.sources import sources
from invoicing.reconcile import Difference

CHECKS: Final[dict[str, Callable[[Night], Found]]] = {
    "servers": servers,
    "items": items,
    "provisioning": provisioning,
    "sources": sources,
    "conservation": conservation,
    "accruals": accruals,
    "law": law,
    "books": books,
    "archive": archived,
    "recompute": metered_again,
}
"""By name, in their order."""
FAILED: Final = "check = an answer"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one night."""

    name: str
    compared: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    seconds: float


def nightly(night: Night, names: Collection[str] = ()) -> Iterator[Check]:
    """These checks, or all, one after the other."""
    for name, check in CHECKS.items():
        if names and name not in names:
            continue
        began = time.monotonic()
        try:
            found = check(night)
        except psycopg.OperationalError:
            raise
        except Exception as error:  # the others must not wait for a bug, or for a damaged row
            said = f"{type(error).__name__}: {error}"
            found = Found(0, (Difference(FAILED, name, "an answer", said),))
        seconds = round(time.monotonic() - began, 3)
        yield Check(name, found.compared, found.differences, found.notes, seconds)
