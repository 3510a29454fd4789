"""Budgets: what an account or an item may come to in a month, and when somebody is told. Pure.

A budget is of money (the net of all charges) or of a quantity (of one charge); of a percentile it
counts what is certain, in money too: that never falls. What was said before is an argument: a
crossing is told once for each limit and taken back once when it holds no longer; to reach it again
is another one, told again. A forecast is told once and never taken back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Because(StrEnum):
    """Why a crossing is taken back."""

    AMOUNT = "amount"
    """It has come to less: late figures, a late price."""
    LIMIT = "limit"
    """Another limit is in force, and is not reached."""
    DROPPED = "dropped"
    """The threshold is none any more."""
    MONTH = "month"
    """A new month has begun."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was last said of a threshold in this period."""

    crossed: bool
    """False: it was taken back."""
    version: str
    """Of the limit."""
    turn: int = 0
    """How often crossings had been taken back before this one."""

    @classmethod
    def of(cls, *, crossed: bool, limit_version: str) -> "Said":
        """From what ``limit_version`` wrote."""
        version, _, turn = limit_version.rpartition("/")
        return cls(crossed, version, int(turn))


def limit_version(version: str, said: Said | None) -> str:
    """What a crossing of now is unique for: the limit, and how often it was taken back before."""
    turn = 0 if said is None else said.turn + (not said.crossed)
    return f"{version}/{turn}"


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
    """What a budget or an allowance had come to at an instant, of what goes on at a pace."""

    at: datetime
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Counted:
    """One charge of one item."""

    stands: Figure
    """With percentiles as they are so far."""
    certain: Figure
    paced: bool
    """It grows with time or use; a fee is there at once, a percentile jumps when it is certain."""


@dataclass(frozen=True, slots=True)
class Come:
    """What a budget has come to, in its unit."""

    amount: Fraction
    """What is certain: this is compared with the limit."""
    stands: Fraction
    """With percentiles as they are so far: what views show."""
    paced: Fraction
    """Of ``amount`` what grows with time or use: a forecast goes by that."""


def come(budget: Budget, counted: Sequence[Counted]) -> Come:
    """What the budget has come to, from all of the account's scopes."""
    return Come(
        amount(budget, (one.certain for one in counted)),
        amount(budget, (one.stands for one in counted)),
        amount(budget, (one.certain for one in counted if one.paced)),
    )


def amount(budget: Budget, figures: Iterable[Figure]) -> Fraction:
    """The sum of the figures that the budget counts, in its unit."""
    mine = [f for f in figures if not budget.item or f.item == budget.item]
    if budget.charge:
        used = sum(f.used for f in mine if f.charge == budget.charge)
        return Fraction(used, budget.unit_size)
    return sum((Fraction(f.net) for f in mine if f.currency == budget.unit), Fraction(0))


def reached(budget: Budget, now: Fraction, said: Mapping[str, Said]) -> Iterator[Reached]:
    """Every threshold at or below the amount, those told before too: their version is the same."""
    for percent in sorted(set(budget.percents)):
        if not holds(now, budget.most, percent, told=False):
            continue
        threshold = f"{budget.name}/{percent}%"
        version = limit_version(str(budget.budget), said.get(threshold))
        yield Reached(budget, threshold, version, percent, now)


def is_cap(budget: Budget, percent: int) -> bool:
    """Whether reaching this threshold suspends: a cap's earlier ones only tell."""
    return budget.action is Action.CAP and percent == 100


@dataclass(frozen=True, slots=True)
class Lifted:
    """A crossing that was told and holds no longer."""

    threshold: str
    because: Because
    budget: Budget | None = None
    """The one in force at this threshold."""
    amount: Fraction = Fraction(0)
    """What that one has come to."""


def lifted(
    budgets: Iterable[Budget], amounts: Mapping[int, Fraction], said: Mapping[str, Said]
) -> list[Lifted]:
    """What was told and holds no longer, by threshold: it has come to less, or the limit changed.

    Less than the same limit means by ``HYSTERESIS_PERCENT``; than another one, by anything.
    """
    lines = {f"{b.name}/{percent}%": (b, percent) for b in budgets for percent in b.percents}
    found = []
    for name, last in sorted(said.items()):
        if not last.crossed or name.endswith(f"/{FORECAST}"):
            continue
        budget, percent = lines.get(name, (None, 0))
        if budget is None:
            found.append(Lifted(name, Because.DROPPED))
            continue
        now, same = amounts[budget.budget], last.version == str(budget.budget)
        if not holds(now, budget.most, percent, told=same):
            because = Because.AMOUNT if same else Because.LIMIT
            found.append(Lifted(name, because, budget, now))
    return found


def holds(now: Fraction | int, most: Decimal | int, percent: int, *, told: bool) -> bool:
    """Whether a line is reached; one that was told is left a hundredth of the limit below it."""
    return now * 100 >= most * (percent - (HYSTERESIS_PERCENT if told else 0))


def forecast(
    budget: Budget, now: Mark, before: Mark | None, period_end: datetime,
    besides: Fraction = Fraction(0),
) -> Reached | None:  # fmt: skip
    """The limit as it will be reached at the pace since ``before``, which is an hour old or more.

    ``besides`` counts too and has no pace. None where that is not asked for, not within ``ahead``,
    not in this period, or done already.
    """
    if budget.ahead is None:
        return None
    most, until = Fraction(budget.most) - besides, min(now.at + budget.ahead, period_end)
    at = reached_at(most, now, before, until)
    if at is None:
        return None
    version, come_to = limit_version(str(budget.budget), None), now.amount + besides
    return Reached(budget, f"{budget.name}/{FORECAST}", version, 100, come_to, at)


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
