"""Budgets: what an account or an item may come to in a month, and when somebody is told. Pure.

A budget is of money (the net of all charges) or of a quantity (of one charge); of a percentile it
looks at ``certain``, which never falls. What was said before is an argument: a crossing is told
once for each limit, taken back once when a correction leads below it, and a cap that was lifted
holds again when it is reached again. A forecast is told once and never taken back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from pipeline.rating.figures import Figure

HYSTERESIS_PERCENT: Final = 1
"""Of the limit. So far below its line a crossing is taken back: figures that stagger tell once."""
PACE_MIN: Final = timedelta(hours=1)
"""A forecast goes by the last hour or two: an average of the month hides what has just begun."""
FORECAST: Final = "forecast"


class Action(StrEnum):
    """What reaching a budget does."""

    NOTIFY = "notify"
    CAP = "cap"
    """The customer is told and the provider's provisioning suspends what was rented."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit in force. Another limit is another budget: its id is the version of the limit."""

    budget: int
    account: str
    item: str
    """Empty: the whole account."""
    charge: str
    """Empty: money."""
    most: Decimal
    unit: str
    """The currency, or the billing unit."""
    unit_size: int
    """Base units in the unit; 1 for money."""
    percents: tuple[int, ...]
    """At which somebody is told; a cap takes hold at 100 alone."""
    ahead: timedelta | None
    """Tell when the limit will be reached within this time."""
    action: Action

    @property
    def name(self) -> str:
        """The same for every limit of one thing; no part of it holds a slash."""
        return f"budget/{self.action}/{self.account}/{self.item}/{self.charge or 'net'}"


@dataclass(frozen=True, slots=True)
class Said:
    """What was last said of a threshold in this period."""

    crossed: bool
    """False: it was taken back."""
    limit_version: str
    lifted: int = 0
    """How often it was taken back."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold that the amount has reached, or will reach."""

    budget: Budget
    threshold: str
    limit_version: str
    percent: int
    amount: Fraction
    """In units of the budget."""
    at: datetime | None = None
    """Of a forecast: when the whole limit is reached at this rate."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a budget had come to at an instant of its period."""

    at: datetime
    amount: Fraction


def amount(budget: Budget, figures: Iterable[Figure]) -> Fraction:
    """What the budget has come to, in its unit, from the figures of all of the account's scopes."""
    mine = [f for f in figures if not budget.item or f.item == budget.item]
    if budget.charge:
        used = sum(f.used for f in mine if f.charge == budget.charge)
        return Fraction(used, budget.unit_size)
    return sum((Fraction(f.net) for f in mine if f.currency == budget.unit), Fraction(0))


def reached(budget: Budget, now: Fraction, said: Mapping[str, Said]) -> Iterator[Reached]:
    """Every threshold at or below the amount, those told before too: their version is the same."""
    for percent in sorted(set(budget.percents)):
        if now * 100 < budget.most * percent:
            continue
        threshold = f"{budget.name}/{percent}%"
        version = str(budget.budget)
        if is_cap(budget, percent):
            before = said.get(threshold)
            version += f"/{before.lifted if before else 0}"
        yield Reached(budget, threshold, version, percent, now)


def is_cap(budget: Budget, percent: int) -> bool:
    """Whether reaching this threshold suspends: a cap's earlier ones only tell."""
    return budget.action is Action.CAP and percent == 100


def lifted(
    budgets: Iterable[Budget], amounts: Mapping[int, Fraction], said: Mapping[str, Said]
) -> list[str]:
    """Thresholds that were told and hold no longer: below by a correction, or by a new limit.

    Below the same limit means by ``HYSTERESIS_PERCENT``; where the limit was changed or ended,
    by anything.
    """
    held = {name for budget in budgets for name in _held(budget, amounts[budget.budget], said)}
    return sorted(
        name
        for name, last in said.items()
        if last.crossed and name not in held and not name.endswith(f"/{FORECAST}")
    )


def _held(budget: Budget, now: Fraction, said: Mapping[str, Said]) -> Iterator[str]:
    for percent in budget.percents:
        name = f"{budget.name}/{percent}%"
        before = said.get(name)
        same = before is not None and before.limit_version.split("/")[0] == str(budget.budget)
        if now * 100 >= budget.most * (percent - (HYSTERESIS_PERCENT if same else 0)):
            yield name


def forecast(
    budget: Budget, now: Mark, before: Mark | None, period_end: datetime
) -> Reached | None:
    """The limit as it will be reached at the pace since ``before``, which is an hour old or more.

    None where that is not asked for, not within ``ahead``, not in this period, or done already.
    """
    if budget.ahead is None:
        return None
    at = reached_at(Fraction(budget.most), now, before, min(now.at + budget.ahead, period_end))
    if at is None:
        return None
    version = str(budget.budget)
    return Reached(budget, f"{budget.name}/{FORECAST}", version, 100, now.amount, at)


def reached_at(most: Fraction, now: Mark, before: Mark | None, until: datetime) -> datetime | None:
    """When it comes to ``most`` at the pace since ``before``; None if it has, or not by ``until``.

    Nor where the earlier mark is less than an hour old, or nothing was gained since.
    """
    if before is None or now.at - before.at < PACE_MIN:
        return None
    gained, left = now.amount - before.amount, most - now.amount
    if gained <= 0 or left <= 0:
        return None
    wait = left / gained * Fraction((now.at - before.at) // timedelta(milliseconds=1))
    if wait > (until - now.at) // timedelta(milliseconds=1):
        return None
    return now.at + timedelta(milliseconds=int(wait))


def remember(marks: tuple[Mark, ...], now: Mark) -> tuple[Mark, ...]:
    """At most two marks, an hour apart or more: the first is what a pace is taken from."""
    if not marks or now.at - marks[-1].at >= PACE_MIN:
        return (*marks[-1:], now)
    return marks
