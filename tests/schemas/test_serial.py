"""Billing data as JSON and back: exact, strict, and one digest for one content."""

import hashlib
import json
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas import billing, prices, terms
from schemas.billing import Inputs, Line, PriceRow, Scope, Seller, Span, Usage
from schemas.prices import Allowance, Charge, Hours, PerUnit, Sum, Unit
from schemas.serial import (
    KINDS,
    SerialError,
    canonical,
    canonical_text,
    digest,
    from_json,
    instant_text,
    text_of,
    to_json,
)

WORDS = {**vars(billing), **vars(prices), **vars(terms)}
TYPES = [t for t in WORDS.values() if is_dataclass(t) and isinstance(t, type)]
T0 = datetime(2026, 3, 1, tzinfo=UTC)
TB = Unit("TB", "net.bytes", 10**12, Decimal("0.001"))
RENT = Charge(Hours(), PerUnit(Decimal("0.0833")), "hosting", cap=Decimal("49.00"))
TRAFFIC = Charge(
    Sum(("net.tx_bytes",), TB), PerUnit(Decimal("1.29")), "hosting", Allowance(20 * 10**12),
    alerts=(50,),
)  # fmt: skip
ROW = PriceRow("web", "rent", Span(T0), RENT, "v1")
USAGE = Usage("srv", "net.tx_bytes", "eth0", T0, T0 + timedelta(minutes=5), 2**70, 300_000)

st.register_type_strategy(
    Decimal,
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
st.register_type_strategy(datetime, st.datetimes(datetime(1970, 1, 2), timezones=offsets))  # noqa: DTZ001  # the bound is naive by contract
st.register_type_strategy(str, st.text(st.characters(codec="utf-8"), max_size=8))


@pytest.mark.parametrize("cls", TYPES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_type_comes_back_as_it_went(cls: type[Any], data: st.DataObject) -> None:
    value = data.draw(st.from_type(cls))
    text = json.dumps(to_json(value))
    back = from_json(cls, json.loads(text))
    assert back == value
    assert to_json(back) == to_json(value)
    assert digest(back) == digest(value)
    assert canonical(value) == canonical_text(to_json(value)) == rfc8785.dumps(to_json(value))


def test_the_written_form() -> None:
    assert to_json(ROW) == {
        "item": "web",
        "charge": "rent",
        "valid": {"start": "2026-03-01T00:00:00Z", "end": None},
        "price": {
            "quantity": {"kind": "hours"},
            "model": {"kind": "per_unit", "price": "0.0833"},
            "tax": "hosting",
            "allowance": None,
            "commit": None,
            "cap": "49.00",
            "share": {"taken": "1", "whole": "1"},
            "prorate": True,
            "free": ["trial", "exclusion"],
            "alerts": [],
            "alert_quantities": [],
            "alert_nets": [],
            "forecast": False,
            "pack": None,
        },
        "version": "v1",
        "reason": "",
    }
    traffic = to_json(TRAFFIC)
    assert traffic["quantity"] == {
        "kind": "sum",
        "meters": ["net.tx_bytes"],
        "unit": {"name": "TB", "of": "net.bytes", "is": "1000000000000", "step": "0.001"},
        "source": "agent",
        "gap": "interpolate",
    }
    assert traffic["allowance"] == {
        "quantity": "20000000000000",
        "prorate": True,
        "pool": "",
        "rollover": None,
    }
    assert traffic["alerts"] == ["50"]
    assert to_json(USAGE)["quantity"] == "1180591620717411303424"


def test_every_quantity_and_model_has_a_name() -> None:
    assert set(KINDS.values()) == {*prices.Quantity.__args__, *prices.Model.__args__}


def test_instants_are_utc_and_exact() -> None:
    berlin = timezone(timedelta(hours=1))
    assert instant_text(datetime(2026, 3, 1, 1, tzinfo=berlin)) == "2026-03-01T00:00:00Z"
    assert instant_text(T0 + timedelta(microseconds=1)) == "2026-03-01T00:00:00.000001Z"


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        [0.0],
        {"a": 1e9},
        float("nan"),
        b"bytes",
        {1, 2},
        Decimal("NaN"),
        Decimal("inf"),
        datetime(2026, 3, 1),  # noqa: DTZ001  # refused for that
        PerUnit(0.0833),  # type: ignore[arg-type]  # refused for that
    ],
    ids=repr,
)
def test_what_is_not_exact_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)
    with pytest.raises(TypeError):
        text_of(value)


WRITTEN = to_json(ROW)
LINE = to_json(
    Line("k", "s", "i", "c", "t", Span(T0), Decimal(1), "h", Decimal(1), Decimal(1), "x", "v")
)


def changed(body: Any, path: str, value: object) -> Any:
    *outer, last = path.split(".")
    copy = json.loads(json.dumps(body))
    place = copy
    for key in outer:
        place = place[key]
    place[last] = value
    return copy


@pytest.mark.parametrize(
    ("cls", "path", "value", "said"),
    [
        (
            PriceRow,
            "price.model.price",
            0.0833,
            r"PriceRow.price.model.price: found 0.0833; a decimal number as text",
        ),
        (PriceRow, "price.model.price", 1, "a decimal number as text"),
        (PriceRow, "price.model.price", "1e3", "a decimal number as text"),
        (PriceRow, "price.model.price", "NaN", "a decimal number as text"),
        (PriceRow, "price.model.price", " 1", "a decimal number as text"),
        (PriceRow, "price.model.price", "1,29", "a decimal number as text"),
        (PriceRow, "price.model.price", "٣", "a decimal number as text"),
        (PriceRow, "price.model.price", None, "a decimal number as text"),
        (PriceRow, "price.model.kind", "free", r"found 'free'; one of per_unit, package"),
        (PriceRow, "price.model.kind", None, "one of per_unit, package"),
        (PriceRow, "price.model.kind", "hours", "found 'hours'; one of per_unit"),
        (PriceRow, "price.model", "per_unit", "an object"),
        (PriceRow, "valid.start", "2026-03-01T00:00:00+00:00", "an instant such as"),
        (PriceRow, "valid.start", "2026-13-01T00:00:00Z", "an instant such as"),
        (PriceRow, "valid.start", "2026-03-01", "an instant such as"),
        (PriceRow, "valid.start", 1772323200, "an instant such as"),
        (PriceRow, "valid.start", None, "an instant such as"),
        (PriceRow, "item", 5, "text belongs here"),
        (PriceRow, "extra", "x", r"PriceRow.extra: not known; known are item, charge"),
        (Line, "base_quantity", 5, "a whole number as text"),
        (Line, "base_quantity", "5.0", "a whole number as text"),
        (Line, "base_quantity", "05", "a whole number as text"),
        (Line, "capped", "true", "true or false"),
        (Line, "capped", 1, "true or false"),
        (Line, "roundings", {}, "an array"),
        (Line, "roundings", [None], r"Line.roundings\[0\]: found None; an object"),
    ],
)
def test_anything_else_is_refused(cls: type[Any], path: str, value: object, said: str) -> None:
    body = WRITTEN if cls is PriceRow else LINE
    with pytest.raises(SerialError, match=said):
        from_json(cls, changed(body, path, value))


def test_enums_are_read_by_value() -> None:
    said = r"Charge.quantity.source: found 'moon'; one of agent, switch"
    with pytest.raises(SerialError, match=said):
        from_json(Charge, changed(to_json(TRAFFIC), "quantity.source", "moon"))


def test_a_field_with_a_default_may_be_missing_in_an_old_document() -> None:
    body = {key: value for key, value in LINE.items() if key not in {"roundings", "capped"}}
    assert from_json(Line, body).roundings == ()
    with pytest.raises(SerialError, match=r"Line.net: missing"):
        from_json(Line, {key: value for key, value in LINE.items() if key != "net"})


class TestDigest:
    """SHA-256 over RFC 8785."""

    def test_is_over_the_canonical_bytes(self) -> None:
        assert canonical({"b": "1", "a": [None, True]}) == b'{"a":[null,true],"b":"1"}'
        expected = hashlib.sha256(b'{"a":[null,true],"b":"1"}').hexdigest()
        assert digest({"b": "1", "a": [None, True]}) == expected

    def test_a_value_and_its_json_agree(self) -> None:
        inputs = Inputs(Span(T0), (USAGE,))
        assert (
            digest(inputs)
            == digest(to_json(inputs))
            == digest(json.loads(json.dumps(to_json(inputs))))
        )

    @given(st.recursive(
        st.none() | st.booleans() | st.text(),
        lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=20,
    ))  # fmt: skip
    @example({"\ue000": "1", "\U00010000": "2"})
    @example({"\ud7ff": '\x00\x1f\x7f\u2028"\\/', "": ["\b\t\n\f\r"]})
    def test_what_c_writes_is_rfc_8785(self, value: Any) -> None:
        assert canonical_text(value) == canonical(value) == rfc8785.dumps(value)

    def test_changes_with_every_part(self) -> None:
        seller = Seller("e", "n", ("a",), "v", "UTC", "EUR", {"x": Decimal("19")})
        others = (
            replace(seller, tax={"x": Decimal("19.0")}),
            replace(seller, address=("a", "")),
            replace(seller, name="m"),
        )
        assert len({digest(value) for value in (seller, *others)}) == 4

    def test_does_not_know_the_zone_an_instant_was_written_in(self) -> None:
        moved = Span(T0.astimezone(timezone(timedelta(hours=2))))
        assert digest(moved) == digest(Span(T0))

    @pytest.mark.parametrize("value", [{"a": 1.0}, [[0.5]], 2**53 + 1, {"a": {"b": [1e3]}}])
    def test_refuses_what_json_readers_round(self, value: object) -> None:
        with pytest.raises((TypeError, ValueError)):
            digest(value)


def test_a_scope_as_the_database_hands_it_over() -> None:
    scope = Scope("s", "a", "EUR", "UTC", (), (), (ROW,))
    assert from_json(Scope, json.loads(canonical(scope))) == scope
