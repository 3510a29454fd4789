"""Tax on the sum of nets of each category: EN 16931, BR-CO-17."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.tax import rate_of, tax_lines
from schemas.billing import Line, Seller, Span, TaxLine
from schemas.errors import ConfigError
from tests.pipeline.rating.worlds import START

SELLER = Seller(
    "rm", "Rackmeter", ("Street 1",), "DE000000000", "Europe/Berlin", "EUR",
    {"hosting": Decimal("19"), "books": Decimal("7"), "export": Decimal("0")},
)  # fmt: skip


def line(net: str, tax: str = "hosting") -> Line:
    amount = Decimal(net)
    return Line("k", "s", "i", "c", "t", Span(START), Decimal(1), "h", amount, amount, tax, "v")


@pytest.mark.parametrize(
    ("rule", "nets", "currency", "base", "tax"),
    [
        ("taxable amount × rate ÷ 100", ["1945.00"], "EUR", "1945.00", "369.55"),
        ("on the sum: 0.03, not three times 0.01", ["0.05", "0.05", "0.05"], "EUR", "0.15", "0.03"),
        ("half a cent rounds up", ["0.50"], "EUR", "0.50", "0.10"),
        ("a negative one away from zero: it mirrors", ["-0.50"], "EUR", "-0.50", "-0.10"),
        ("yen have no minor unit", ["50"], "JPY", "50", "10"),
        ("dinars have three decimals", ["0.050"], "KWD", "0.050", "0.010"),
        ("a base of zero is still a category", ["0.00"], "EUR", "0.00", "0.00"),
    ],
)
def test_one_category(rule: str, nets: list[str], currency: str, base: str, tax: str) -> None:
    (found,) = tax_lines([(line(net), Decimal("19")) for net in nets], currency)
    assert found == TaxLine("hosting", Decimal("19"), Decimal(base), Decimal(tax)), rule
    assert str(found.tax) == tax


def test_categories_in_order() -> None:
    mixed = [line("1.00"), line("2.00", "books"), line("3.00"), line("9.00", "export")]
    found = tax_lines([(one, rate_of(one, SELLER)) for one in mixed], "EUR")
    assert [(t.category, str(t.base), str(t.tax)) for t in found] == [
        ("books", "2.00", "0.14"),
        ("export", "9.00", "0.00"),
        ("hosting", "4.00", "0.76"),
    ]
    assert tax_lines([], "EUR") == ()


def test_a_category_that_was_billed_at_two_rates_is_taxed_at_both() -> None:
    """A correction of last year's invoice keeps last year's rate."""
    found = tax_lines([(line("10.00"), Decimal("19")), (line("-10.00"), Decimal("16"))], "EUR")
    assert [(str(t.rate), str(t.base), str(t.tax)) for t in found] == [
        ("16", "-10.00", "-1.60"),
        ("19", "10.00", "1.90"),
    ]


def test_an_unknown_category_says_where_it_should_be() -> None:
    with pytest.raises(ConfigError, match=r'"wine", which rm does .* has books, export, host'):
        rate_of(line("1.00", "wine"), SELLER)
    with pytest.raises(ConfigError, match=r"the catalogue's \[tax\] has none$"):
        rate_of(line("1.00"), replace(SELLER, tax={}))
