"""The billing types: frozen, and no float anywhere inside."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_type_hints

import pytest

from pipeline.catalog import Catalog, Plan
from pipeline.rating.credit import Draw
from pipeline.rating.figures import Figure
from pipeline.rating.part import Part, Position
from pipeline.rating.settle import Settlement
from pipeline.rating.usage_state import Progress
from pipeline.thresholds import Crossing
from schemas import billing, prices, terms
from schemas.billing import Item, Scope, Span

WORDS = {**vars(billing), **vars(prices), **vars(terms)}
TYPES = [t for t in WORDS.values() if is_dataclass(t) and isinstance(t, type)]
RATED = [*TYPES, Catalog, Plan, Progress, Crossing, Figure, Part, Position, Draw, Settlement]
ALLOWED = {str, int, bool, Decimal, datetime, type(None)}
T0, T1, T2, T3 = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3, 4))


def leaves(hint: Any, above: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Every plain type that a hint is made of, through dataclasses too, once through each."""
    if hint in above:
        return
    parts = [part for part in get_args(hint) if part is not Ellipsis]
    if is_dataclass(hint):
        parts = list(get_type_hints(hint).values())
    if not parts and not is_dataclass(hint):
        yield hint
    for part in parts:
        yield from leaves(part, (*above, hint))


@pytest.mark.parametrize("cls", RATED)
def test_no_float_has_a_place(cls: type) -> None:
    for leaf in leaves(cls):
        assert leaf in ALLOWED or issubclass(leaf, Enum), leaf


def test_the_walk_would_find_one() -> None:
    assert float in set(leaves(dict[str, tuple[float | None, ...]]))


@pytest.mark.parametrize("cls", [cls for cls in TYPES if fields(cls)])
def test_every_type_is_frozen(cls: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(cls.__new__(cls), fields(cls)[0].name, None)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(T0, T3), Span(T1, T2)),
        (Span(T0), Span(T1, T2)),
        (Span(T1, T2), Span(T1, T2)),
        (Span(T0, T1), None),
        (Span(T2, T3), None),
        (Span(T2), None),
    ],
)
def test_clip_is_half_open(span: Span, expected: Span | None) -> None:
    assert span.clip(T1, T2) == expected


@pytest.mark.parametrize(
    ("ends", "expected"), [((T1, T3, T2), T3), ((T1, None), None), ((None,), None), ((), None)]
)
def test_a_scope_ends_with_its_last_item(
    ends: tuple[datetime | None, ...], expected: datetime | None
) -> None:
    items = tuple(Item(str(n), "", "", Span(T0, end)) for n, end in enumerate(ends))
    assert Scope("s", "a", "EUR", "UTC", items, (), ()).ended_at == expected
