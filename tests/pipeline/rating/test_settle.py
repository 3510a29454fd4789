"""Steps 12 to 14: promotional credit before tax, tax, paid credit after it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.money import MINOR_UNITS
from pipeline.rating.settle import Settlement, settle
from schemas.billing import Line, LineKind, Seller, Span
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile, TaxRounding
from tests.pipeline.rating.worlds import START, laws

LAGO = "getlago.com/changelog/nvoice-calculation-method"
FLEXPRICE = "docs.flexprice.io/docs/invoices/calculation"
INCLUSIVE = "billing.md, 5: tax-inclusive, the net is rounded"
BT151 = "EN 16931, BR-AE-5: the rate of reverse charge is 0"
NOW = datetime(2026, 5, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PAID, PROMO = CreditKind.PAID, CreditKind.PROMOTIONAL


def line(net: str, tax: str = "std") -> Line:
    amount = Decimal(net)
    return Line(f"k{net}{tax}", "s", "i", "c", "t", Span(START), Decimal(1), "h", amount, amount,
                tax, "v")  # fmt: skip


def wallet(name: str, kind: CreditKind, left: str, **terms: object) -> Credit:
    granted = terms.pop("granted_at", NOW - DAY)
    return Credit(name, kind, Decimal(left), granted, **terms)  # type: ignore[arg-type]


def settled(
    nets: list[str], *credits_: Credit, rate: str = "19", currency: str = "EUR",
    mode: TaxMode = TaxMode.EXCLUSIVE, rounding: TaxRounding = TaxRounding.HALF_UP,
) -> Settlement:  # fmt: skip
    seller = Seller("rm", "R", (), "", "UTC", "EUR", {"std": Decimal(rate), "low": Decimal(7)})
    lines = [line(*net.split()) for net in nets]
    once = (credit for credit in credits_)
    return settle(lines, seller, currency, TaxProfile(mode, rounding), once, NOW)


def figures(found: Settlement) -> list[str]:
    return [str(figure) for figure in (found.net, found.tax, found.gross, found.due)]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        (f"{LAGO}: 70 + 10 %, prepaid 30 is taken off after tax",
         settled(["50.00", "20.00"], wallet("w", PAID, "30.00"), rate="10"),
         ["70.00", "7.00", "77.00", "47.00"]),
        (f"{FLEXPRICE}: 70 at 8.25 % is 5.78 whatever the wallet pays",
         settled(["70.00"], wallet("w", PAID, "5.00"), rate="8.25"),
         ["70.00", "5.78", "75.78", "70.78"]),
        ("promotional credit lowers the tax base",
         settled(["100.00"], wallet("p", PROMO, "20.00")), ["80.00", "15.20", "95.20", "95.20"]),
        ("promotional first, then paid",
         settled(["100.00"], wallet("w", PAID, "100.00"), wallet("p", PROMO, "20.00")),
         ["80.00", "15.20", "95.20", "0.00"]),
        ("more credit than invoice", settled(["10.00"], wallet("p", PROMO, "99.00")),
         ["0.00", "0.00", "0.00", "0.00"]),
        ("a negative invoice draws nothing", settled(["-10.00"], wallet("p", PROMO, "9.00")),
         ["-10.00", "-1.90", "-11.90", "-11.90"]),
        ("what is below zero is covered with its tax: 90.00 - 1.90 - 0.01 are drawn",
         settled(["100.00 low", "-10.00"], wallet("p", PROMO, "99.00")),
         ["1.91", "-1.07", "0.84", "0.84"]),
        ("as far as there is something beside it",
         settled(["11.90 low", "-10.00"], wallet("p", PROMO, "99.00")),
         ["1.90", "-1.07", "0.83", "0.83"]),
        ("a category of nothing is not below zero: all is drawn",
         settled(["10.00 low", "0.00"], wallet("p", PROMO, "99.00")),
         ["0.00", "0.00", "0.00", "0.00"]),
        ("without lines nothing is drawn", settled([], wallet("p", PROMO, "9.00")),
         ["0", "0", "0", "0"]),
        ("a cent pays a cent", settled(["10.00"], wallet("w", PAID, "0.01")),
         ["10.00", "1.90", "11.90", "11.89"]),
        ("no more than there is, be that a cent", settled(["0.01"], wallet("w", PAID, "9.00")),
         ["0.01", "0.00", "0.01", "0.00"]),
        (BT151, settled(["100.00"], mode=TaxMode.REVERSE_CHARGE),
         ["100.00", "0.00", "100.00", "100.00"]),
        ("tax-inclusive: the net is rounded, tax is the rest",
         settled(["10.00"], mode=TaxMode.INCLUSIVE), ["8.40", "1.60", "10.00", "10.00"]),
        (f"{INCLUSIVE}: half up, 20.00 ÷ 1.19 = 16.8067",
         settled(["20.00"], mode=TaxMode.INCLUSIVE), ["16.81", "3.19", "20.00", "20.00"]),
        (f"{INCLUSIVE}: what is taken back mirrors it",
         settled(["-20.00"], mode=TaxMode.INCLUSIVE), ["-16.81", "-3.19", "-20.00", "-20.00"]),
        ("a country that truncates: 0.0798 of tax is 0.07",
         settled(["0.42"], rounding=TaxRounding.DOWN), ["0.42", "0.07", "0.49", "0.49"]),
        ("and its credit note mirrors", settled(["-0.42"], rounding=TaxRounding.DOWN),
         ["-0.42", "-0.07", "-0.49", "-0.49"]),
        ("yen", settled(["105"], rate="10", currency="JPY"), ["105", "11", "116", "116"]),
        ("dinars", settled(["1.005"], rate="5", currency="KWD"),
         ["1.005", "0.050", "1.055", "1.055"]),
    ],
)  # fmt: skip
def test_the_sums(rule: str, found: Settlement, expected: list[str]) -> None:
    assert figures(found) == expected, rule


def test_promotional_credit_is_shared_among_categories_by_their_nets() -> None:
    found = settled(["20.00 std", "10.00 low"], wallet("p", PROMO, "10.00"))
    credits_ = {x.tax: str(x.net) for x in found.lines if x.kind is LineKind.CREDIT}
    assert credits_ == {"std": "-6.67", "low": "-3.33"}
    assert [(t.category, str(t.base), str(t.tax)) for t in found.taxes] == [
        ("low", "6.67", "0.47"),
        ("std", "13.33", "2.53"),
    ]


@pytest.mark.parametrize(
    ("rule", "nets", "left", "credits_"),
    [
        ("a category below zero is given none", ["100.00 low", "-10.00"], ["99.00"],
         ["low -88.09"]),
        ("nor one of nothing: no line of 0.00", ["10.00 low", "0.00"], ["9.00"], ["low -9.00"]),
        ("the second is shared by what the first leaves", ["0.01 low", "0.01"], ["0.01", "0.01"],
         ["low -0.01", "std -0.01"]),
    ],
)  # fmt: skip
def test_each_category_is_lowered_to_zero_and_no_further(
    rule: str, nets: list[str], left: list[str], credits_: list[str]
) -> None:
    found = settled(nets, *(wallet(f"p{n}", PROMO, one) for n, one in enumerate(left)))
    lines = [f"{x.tax} {x.net}" for x in found.lines if x.kind is LineKind.CREDIT]
    assert lines == credits_, rule


def test_what_is_left_over_goes_to_the_first_categories_by_name() -> None:
    """So an invoice that is recomputed elsewhere is the same: 0.04 on six times 1.00."""
    seller = Seller("rm", "R", (), "", "UTC", "EUR", dict.fromkeys("fedcba", Decimal(19)))
    lines = [line("1.00", tax) for tax in seller.tax]
    found = settle(lines, seller, "EUR", TaxProfile(), [wallet("p", PROMO, "0.04")], NOW)
    drawn = [(x.tax, str(x.net)) for x in found.lines if x.kind is LineKind.CREDIT]
    assert drawn == [(tax, "-0.01") for tax in "abcd"]


@pytest.mark.parametrize(
    ("rule", "credits_", "drawn"),
    [
        ("priority first", [wallet("b", PAID, "9", priority=1), wallet("a", PAID, "9", priority=2)],
         ["b", "a"]),
        ("then what expires first",
         [wallet("never", PAID, "9"), wallet("soon", PAID, "9", expires_at=NOW + DAY)],
         ["soon", "never"]),
        ("then the oldest",
         [wallet("new", PAID, "9"), wallet("old", PAID, "9", granted_at=NOW - 9 * DAY)],
         ["old", "new"]),
        ("then by name", [wallet("b", PAID, "9"), wallet("a", PAID, "9")], ["a", "b"]),
        ("granted at that instant", [wallet("now", PAID, "9", granted_at=NOW)], ["now"]),
        ("what has expired pays nothing", [wallet("gone", PAID, "9", expires_at=NOW)], []),
        ("nor what is not granted yet", [wallet("early", PAID, "9", granted_at=NOW + DAY)], []),
        ("nor what is used up", [wallet("empty", PAID, "0")], []),
    ],
)  # fmt: skip
def test_the_order_of_drawing(rule: str, credits_: list[Credit], drawn: list[str]) -> None:
    assert [draw.credit for draw in settled(["10.00"], *credits_).paid] == drawn, rule


CENTS = st.integers(-50_000, 50_000)
KINDS = st.sampled_from([PAID, PROMO])


@laws
@given(
    st.lists(st.tuples(CENTS, st.sampled_from(["std", "low"])), min_size=1, max_size=6),
    st.lists(st.tuples(KINDS, st.integers(0, 40_000)), max_size=4),
    st.sampled_from(TaxMode), st.sampled_from(["EUR", "JPY", "KWD"]),
)  # fmt: skip
def test_credit_never_pays_more_than_there_is(
    nets: list[tuple[int, str]], purse: list[tuple[CreditKind, int]], mode: TaxMode, currency: str
) -> None:
    """Drawn is what lines and amount due fell by; nothing turns negative that was not."""

    def money(units: int) -> str:
        return str(Decimal(units).scaleb(-MINOR_UNITS[currency]))

    lines = [f"{money(units)} {tax}" for units, tax in nets]
    credits_ = [wallet(f"w{n}", kind, money(left)) for n, (kind, left) in enumerate(purse)]
    found = settled(lines, *credits_, mode=mode, currency=currency)
    before = settled(lines, mode=mode, currency=currency)
    promo = -sum((x.net for x in found.lines if x.kind is LineKind.CREDIT), Decimal(0))
    assert 0 <= promo <= sum(c.left for c in credits_ if c.kind is PROMO)
    assert found.gross == found.net + found.tax
    assert found.due == found.gross - sum(draw.amount for draw in found.paid)
    assert found.due >= min(Decimal(0), before.due)
    if promo:
        assert found.net >= 0 <= found.gross
    assert all(draw.amount > 0 for draw in found.paid)
