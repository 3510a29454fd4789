"""Amounts: minor units, half up away from zero, nothing inexact without an error."""

from decimal import ROUND_HALF_UP, Decimal, Inexact
from fractions import Fraction

import pytest
from babel.core import get_global
from babel.numbers import get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from pipeline.money import (
    MINOR_UNITS,
    exact_sum,
    exact_text,
    minor_units,
    round_money,
    round_step,
)
from schemas.errors import ConfigError
from tests.pipeline.rating.worlds import laws

WRITTEN_WHOLE = {
    "AFN", "ALL", "IQD", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER",
}  # fmt: skip
"""CLDR tells how people write amounts, ISO 4217 how they are paid: here no one writes the rest."""

fractions = st.fractions(min_value=-(10**12), max_value=10**12)
steps = st.sampled_from(["1", "0.1", "0.001", "0.25", "0.005", "10"]).map(Decimal)


@pytest.mark.parametrize(
    ("currency", "digits"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3)]
)
def test_minor_units_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_units(currency) == digits


def test_the_table_agrees_with_cldr() -> None:
    known = set(get_global("all_currencies"))
    assert set(MINOR_UNITS) <= known
    differing = {code for code, d in MINOR_UNITS.items() if get_currency_precision(code) != d}
    assert differing == WRITTEN_WHOLE


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "XXX", "DEM"])
def test_an_unknown_currency_is_one_clear_sentence(currency: str) -> None:
    with pytest.raises(
        ConfigError, match=f'currency "{currency}" is not known; write a code of ISO'
    ):
        minor_units(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("0.005", "EUR", "0.01"),
        ("-0.005", "EUR", "-0.01"),
        ("0.004999999999999999999999999999999999", "EUR", "0.00"),
        ("-0.001", "EUR", "0.00"),
        ("2.675", "EUR", "2.68"),  # the classic of binary fractions
        ("0.5", "JPY", "1"),
        ("0.0005", "KWD", "0.001"),
        (
            "12345678901234567890123456789012345.675",
            "EUR",
            "12345678901234567890123456789012345.68",
        ),
    ],
)
def test_money_rounds_half_up_away_from_zero(amount: str, currency: str, rounded: str) -> None:
    assert str(round_money(Decimal(amount), currency)) == rounded


@laws
@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
    )
)
def test_money_agrees_with_the_decimal_module(amount: Decimal) -> None:
    assert round_money(amount, "EUR") == amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


@laws
@given(fractions)
def test_a_credit_mirrors_its_charge(amount: Fraction) -> None:
    assert round_money(-amount, "EUR") == -round_money(amount, "EUR")


@laws
@given(fractions, steps)
def test_a_step_is_the_nearest_multiple(quantity: Fraction, step: Decimal) -> None:
    rounded = round_step(quantity, step)
    assert Fraction(rounded) % Fraction(step) == 0
    assert abs(Fraction(rounded) - quantity) <= Fraction(step) / 2
    assert rounded.as_tuple().exponent == step.as_tuple().exponent


def test_what_does_not_fit_is_an_error_and_no_rounding() -> None:
    with pytest.raises(Inexact):
        exact_sum([Decimal("1e60"), Decimal("1e-60")])
    with pytest.raises(Inexact):
        round_money(10**90 + 1, "EUR")


def test_a_sum_is_exact_beyond_28_digits() -> None:
    amounts = [Decimal("12345678901234567890123456789.01"), Decimal("0.01")]
    assert str(exact_sum(amounts)) == "12345678901234567890123456789.02"
    assert exact_sum([]) == 0


@laws
@given(fractions)
def test_exact_text_loses_nothing(value: Fraction) -> None:
    assert Fraction(exact_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1, 3), "1/3"),
        (Fraction(-1, 8), "-0.125"),
        (Decimal("49.00"), "49"),
        (Decimal("1E+3"), "1000"),
        (0, "0"),
    ],
)
def test_exact_text_is_decimal_where_that_ends(value: Fraction | Decimal | int, text: str) -> None:
    assert exact_text(value) == text
