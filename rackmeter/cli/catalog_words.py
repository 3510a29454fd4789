"""Changes of prices and what they come to, as documents and for people."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.money import exact_sum
from rackmeter.cli.output import lines, table

if TYPE_CHECKING:
    from pipeline.catalog_diff import Change
    from sinks.catalog_effect import Effect
    from sinks.catalogs import Applied
    from sinks.repricing import Touched

Kept = tuple[str, str, str]
"""Item, account and plan of what keeps its prices."""


def change_lines(changes: Iterable["Change"]) -> Iterable[str]:
    """Each place once, with its fields below."""
    place = ""
    for change in changes:
        if change.place != place:
            place = change.place
            yield place
        match change.before, change.after:
            case "", after:
                yield f"  {change.field}: new, {after}"
            case before, "":
                yield f"  {change.field}: gone, was {before}"
            case before, after:
                yield f"  {change.field}: {before} → {after}"


def applied_document(
    version: str,
    applied: "Applied",
    effects: Iterable["Effect"],
    kept: Iterable[Kept],
    *,
    dry_run: bool,
) -> dict[str, Any]:
    return {
        "version": version,
        "published": applied.published,
        "items": applied.items,
        "customers": sorted({one.account for one in applied.touched}),
        "changes": [
            {"item": one.item.item, "account": one.account, "at": one.start}
            for one in applied.touched
        ],
        "late": [{"scope": scope, "period_start": start} for scope, start in applied.late],
        "without_plan": [dict(zip(("item", "account", "plan"), k, strict=True)) for k in kept],
        "effect": effect_document(effects),
        "dry_run": dry_run,
    }


def applied_lines(
    version: str, applied: "Applied", kept: Iterable[Kept], *, dry_run: bool
) -> Iterable[str]:
    """What was done, or would be, and every item that it is about."""
    from pipeline.periods import HALF_MONTH  # noqa: PLC0415 - starts slowly

    would = "would be " if dry_run else ""
    customers = len({one.account for one in applied.touched})
    count = f"{_count(len(applied.items), 'item')} of {_count(customers, 'customer')}"
    yield f"{version}: {would}published; {would}repriced: {count}"
    for one in applied.touched:
        yield f"  {one.item.item} of {one.account}, from {one.start:%Y-%m-%d %H:%M} UTC"
    for item, account, plan in kept:
        yield f"  {item} of {account} keeps its price: {version} has no plan {plan}"
    for scope, start in applied.late:
        yield f"  {scope}: the next close corrects {start + HALF_MONTH:%Y-%m}, which is sealed"


def touched_lines(touched: Sequence["Touched"]) -> Iterable[str]:
    """Every item that costs something else in one of two versions than in the other."""
    if touched:
        customers = len({one.account for one in touched})
        yield ""
        yield f"Concerned: {_count(len(touched), 'item')} of {_count(customers, 'customer')}"
    for one in touched:
        yield f"  {one.item.item} of {one.account}"


def effect_document(effects: Iterable["Effect"]) -> list[dict[str, Any]]:
    return [
        {
            "account": one.account,
            "scope": one.scope,
            "items": one.items,
            "month": {"from": one.period.start, "until": one.period.end},
            "currency": one.currency,
            "before": one.before,
            "after": one.after,
            "change": one.change,
        }
        for one in effects
    ]


def effect_table(effects: Sequence["Effect"]) -> None:
    """By customer and scope, with the sum of each currency."""
    if not effects:
        return
    lines(["", "What the last whole month comes to, net:"])
    rows = [
        (e.account, e.scope, len(e.items), e.before, e.after, _signed(e.change), e.currency)
        for e in effects
    ]
    for currency in sorted({one.currency for one in effects}):
        mine = [one for one in effects if one.currency == currency]
        before, after = exact_sum(e.before for e in mine), exact_sum(e.after for e in mine)
        count = sum(len(e.items) for e in mine)
        rows.append(("all", "", count, before, after, _signed(after - before), currency))
    table(("customer", "scope", "items", "before", "after", "change", ""), rows)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _signed(amount: Any) -> str:
    return f"{amount:+}"
