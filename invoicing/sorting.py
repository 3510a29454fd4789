"""Where corrections go: a document of their own, or the account's next invoice. Pure.

By the invoice that is corrected: where it comes to less, by the least that a credit note is written
for, a credit note that names it; all else is lines on the next invoice. A document of its own is
also what cannot be there: an account that has ended has no next invoice, and another tax treatment
does not mix. What is taken back of which invoice says ``pipeline.rating.taken``; never more than
was invoiced, by tax category and rate.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from invoicing.recompute import Look
from pipeline.money import exact_sum
from schemas.terms import TaxProfile


@dataclass(frozen=True, slots=True)
class Next:
    """What is known of the account."""

    ended: bool
    """No invoice will come any more."""
    least: Decimal
    """The least that a credit note is written for."""
    profile: TaxProfile
    """Its tax treatment now."""


def by_invoice(looks: Iterable[Look]) -> dict[str, list[Look]]:
    """Those that differ, by the number of the invoice that they correct."""
    found: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        if look.corrections:
            found[look.adjusted.invoice].append(look)
    return dict(found)


def may_ride(profile: TaxProfile, then: Next) -> bool:
    """Lines taxed as ``profile`` can be on the next invoice: there is one, and it is taxed so."""
    same = (profile.mode, profile.rounding) == (then.profile.mode, then.profile.rounding)
    return same and not then.ended


def apart(looks: Sequence[Look], rideable: bool, least: Decimal) -> bool:
    """The corrections of one invoice make a document of their own."""
    net = exact_sum(look.net for look in looks)
    credited = bool(looks[0].adjusted.invoice) and net < 0 and -net >= least
    return credited or not rideable
