"""What is taken back of an invoice, however it is cut: to the cent what it charged, no more."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.money import MINOR_UNITS, exact_sum, truncate_money
from pipeline.rating.settle import Settlement, settle
from pipeline.rating.taken import Taking, after, beyond, room, untaken
from pipeline.rating.taken import given as returned
from pipeline.rating.tax import tax_line
from schemas.billing import Line, LineKind, Seller, Span, Taken, Used
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile, TaxRounding
from tests.pipeline.rating.worlds import START

SELLER = Seller("rm", "R", (), "", "UTC", "EUR", {"std": Decimal(19)})
EUR = "EUR"
RATES = st.sampled_from([Decimal(19), Decimal(7), Decimal("5.5"), Decimal(0), Decimal("20.0")])
PROFILES = st.builds(TaxProfile, st.sampled_from(TaxMode), st.sampled_from(TaxRounding))


def money(units: int, currency: str = EUR) -> Decimal:
    return Decimal(units).scaleb(-MINOR_UNITS[currency])


def line(key: str, net: str) -> Line:
    of = Decimal(net)
    return Line(key, "s", "i", "c", "t", Span(START), Decimal(1), "h", of, of, "std", "v")


def charged(
    amount: Decimal, rate: Decimal, currency: str, profile: TaxProfile,
    used: Sequence[tuple[str, Decimal]] = (),
) -> Taken:  # fmt: skip
    tax = tax_line("std", amount, rate, currency, profile).tax
    zero = Decimal(0)
    drawn = tuple(Used(name, left) for name, left in used)
    return Taken("RM-1", "std", rate, amount, tax, zero, zero, drawn)


def note(
    amount: Decimal, one: Taken, currency: str, profile: TaxProfile, *more: Taken
) -> Settlement:
    """A credit note of one line."""
    seller = replace(SELLER, tax={"std": one.rate})
    taking = Taking((one, *more), note=True)
    lines = [line("k", str(-amount))]
    return settle(lines, seller, currency, profile, (), START, {"k": one.rate}, taking)


@given(
    st.lists(st.integers(1, 3_000), min_size=1, max_size=12), st.integers(0, 5_000), RATES,
    PROFILES, st.sampled_from(["EUR", "JPY", "KWD"]),
)  # fmt: skip
def test_taxes_of_credit_notes_telescope(
    parts: list[int], rest: int, rate: Decimal, profile: TaxProfile, currency: str
) -> None:
    """Whatever is cut off, the taxes until then are the tax of all of it; at the end the whole."""
    stands = charged(money(sum(parts) + rest, currency), rate, currency, profile)
    taxes: list[Decimal] = []
    for number, part in enumerate([*parts, rest] if rest else parts, 1):
        made = note(money(part, currency), stands, currency, profile)
        (one,) = made.taken
        taxes.append(-made.tax)
        assert made.tax == -one.back_tax <= 0
        assert made.gross == made.net + made.tax
        assert not beyond(made.taxes, made.taken, profile)
        stands = after(one)
        whole = number == len(parts) + bool(rest)
        until = tax_line("std", stands.before, rate, currency, profile).tax
        assert exact_sum(taxes) == (stands.tax if whole else until) <= stands.tax
    assert room(stands) == 0


def test_ten_notes_of_a_tenth() -> None:
    """Each alone would be 0.20: 2.00 in all. The invoice's tax is 1.96."""
    stands = charged(Decimal("10.30"), Decimal(19), EUR, TaxProfile())
    taxes = []
    for _ in range(10):
        made = note(Decimal("1.03"), stands, EUR, TaxProfile())
        taxes.append(str(-made.tax))
        stands = after(made.taken[0])
    assert sum(map(Decimal, taxes)) == stands.tax == Decimal("1.96")
    assert taxes == ["0.20", "0.19", "0.20", "0.19", "0.20", "0.19", "0.20", "0.20", "0.19", "0.20"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 900)), max_size=3,
             unique_by=lambda one: one[0]),
    st.integers(0, 2_000), st.lists(st.integers(1, 800), min_size=1, max_size=8),
)  # fmt: skip
def test_credit_goes_home_first_and_money_after(
    drawn: list[tuple[str, int]], paid: int, parts: list[int]
) -> None:
    used = [(name, money(units)) for name, units in drawn]
    stands = charged(money(paid), Decimal(19), EUR, TaxProfile(), used)
    credit, owed, home = sum(units for _, units in drawn), paid, Decimal(0)
    for part in parts:
        if part > credit + owed:
            made = note(money(part), stands, EUR, TaxProfile())
            assert beyond(made.taxes, made.taken, TaxProfile())
            return
        made = note(money(part), stands, EUR, TaxProfile())
        back, money_back = min(part, credit), max(0, part - credit)
        credit, owed = credit - back, owed - money_back
        (one,) = made.taken
        assert (returned(one), one.back) == (money(back), money(money_back))
        assert made.net == -money(money_back)
        lines = [x for x in made.lines if x.kind is LineKind.CREDIT]
        assert exact_sum(x.net for x in lines) == money(back)
        home += money(back)
        stands = after(one)
    assert exact_sum(u.left for u in stands.used) == money(credit)
    # the credit that was drawn first stays longest with the invoice
    assert list(stands.used) == sorted(stands.used, key=lambda u: u.left == 0) or not home


def test_what_exceeds_one_invoice_is_taken_of_the_next() -> None:
    first = charged(Decimal("1.00"), Decimal(19), EUR, TaxProfile())
    second = replace(charged(Decimal("5.00"), Decimal(19), EUR, TaxProfile()), invoice="RM-2")
    made = note(Decimal("3.50"), first, EUR, TaxProfile(), second)
    assert [(one.invoice, str(one.back), str(one.back_tax)) for one in made.taken] == [
        ("RM-1", "1.00", "0.19"), ("RM-2", "2.50", "0.48"),
    ]  # fmt: skip
    again = [untaken(one) for one in made.taken]
    assert note(Decimal("3.50"), again[0], EUR, TaxProfile(), again[1]) == made


@pytest.mark.parametrize(
    ("rule", "corrected", "drawn", "given_back"),
    [
        ("all of it", [("-10.00", "RM-1", 19)], "4.00", ["4.00"]),
        ("no more than the correction comes to", [("-10.00", "RM-1", 19)], "40.00", ["10.00"]),
        ("all corrections of an invoice together",
         [("-10.00", "RM-1", 19), ("4.00", "RM-1", 19)], "40.00", ["6.00"]),
        ("a correction that charges gives nothing", [("10.00", "RM-1", 19)], "40.00", []),
        ("nor one of another invoice", [("-10.00", "RM-2", 19)], "40.00", []),
        ("nor one at another rate", [("-10.00", "RM-1", 7)], "40.00", []),
        ("nothing was drawn", [("-10.00", "RM-1", 19)], "0.00", []),
        ("nothing is corrected", [], "4.00", []),
    ],
)  # fmt: skip
def test_an_invoice_gives_back_credit_of_those_it_corrects(
    rule: str, corrected: list[tuple[str, str, int]], drawn: str, given_back: list[str]
) -> None:
    """What they charged stays: adjustments below zero make the invoice cheaper."""
    stands = charged(Decimal("50.00"), Decimal(19), EUR, TaxProfile(), [("c", Decimal(drawn))])
    rent = line("rent", "100.00")
    more = [line(f"k{n}", net) for n, (net, _, _) in enumerate(corrected)]
    own = {one.key: Decimal(rate) for one, (_, _, rate) in zip(more, corrected, strict=True)}
    told = {one.key: number for one, (_, number, _) in zip(more, corrected, strict=True)}
    made = settle([rent, *more], SELLER, EUR, TaxProfile(), (), START, own, Taking((stands,), told))
    found = [(x.key, str(x.net)) for x in made.lines if x.kind is LineKind.CREDIT]
    assert found == [("s/return/RM-1/c/std/19", net) for net in given_back], rule
    assert [str(returned(one)) for one in made.taken] == given_back
    assert all(one.back == one.back_tax == 0 for one in made.taken)


CENTS = st.integers(-3_000, 3_000)
INVOICES = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(0, 2_000), st.integers(0, 2_000)),
    min_size=1, max_size=3,
)  # fmt: skip
"""Of each what it charged, and how much it used of `old` and of `new` credit."""


def stand(invoices: Sequence[tuple[int, int, int]]) -> tuple[Taken, ...]:
    drawn = [[("old", money(old)), ("new", money(new))] for _, old, new in invoices]
    return tuple(
        replace(charged(money(paid), Decimal(19), EUR, TaxProfile(), used), invoice=f"RM-{number}")
        for number, ((paid, _, _), used) in enumerate(zip(invoices, drawn, strict=True))
    )


def about(lines: Sequence[tuple[int, int]]) -> tuple[list[Line], dict[str, str]]:
    """Lines of so many cents, and which invoice each is about; 9: none."""
    made = [line(f"k{n}", str(money(cents))) for n, (cents, _) in enumerate(lines)]
    told = {one.key: f"RM-{of}" for one, (_, of) in zip(made, lines, strict=True) if of != 9}
    return made, told


@given(INVOICES, st.lists(st.tuples(CENTS, st.sampled_from([0, 1, 2, 9])), min_size=1, max_size=7))
def test_a_credit_note_takes_what_came_off_where_it_was_billed_first(
    invoices: list[tuple[int, int, int]], cents: list[tuple[int, int]]
) -> None:
    """Credit and money together are what came off; money is no more than was paid, credit no more
    than was used, and no money while the invoice that a line is about still has credit.
    """
    earlier, (lines, told) = stand(invoices), about(cents)
    made = settle(lines, SELLER, EUR, TaxProfile(), (), START, {}, Taking(earlier, told, note=True))
    taken = {one.invoice: one for one in made.taken}
    off = max(Decimal(0), -exact_sum(one.net for one in lines))
    all_ = exact_sum(room(one) for one in earlier)
    assert exact_sum(one.back + returned(one) for one in made.taken) == min(off, all_)
    for one in made.taken:
        assert 0 <= one.back <= one.charged
        assert all(0 <= used.back <= used.left for used in one.used)
        assert not one.back or all(used.back == used.left for used in one.used)
    before = Decimal(0)
    for stood in earlier:
        own = -exact_sum(one.net for one in lines if told.get(one.key) == stood.invoice)
        mine = max(Decimal(0), min(own, room(stood), off - before))
        before += mine
        found = taken.get(stood.invoice)
        assert (found.back + returned(found) if found else 0) >= mine


@given(
    INVOICES, st.lists(st.tuples(CENTS, st.sampled_from([0, 1, 2, 9])), min_size=1, max_size=7),
    st.integers(0, 3_000), st.booleans(),
)  # fmt: skip
def test_an_invoice_gives_back_the_credit_of_what_came_off_and_no_more(
    invoices: list[tuple[int, int, int]], cents: list[tuple[int, int]], more: int, holds: bool
) -> None:
    """What comes off an earlier invoice was its credit first. What has expired pays nothing; what
    holds is drawn again, as far as there is something to pay.
    """
    earlier, (lines, told) = stand(invoices), about(cents)
    lines.append(line("rent", str(money(more))))
    purse = [Credit("old", CreditKind.PROMOTIONAL, Decimal(0), START)] if holds else []
    made = settle(lines, SELLER, EUR, TaxProfile(), purse, START, {}, Taking(earlier, told))
    home = {one.invoice: returned(one) for one in made.taken}
    for stood in earlier:
        own = -exact_sum(one.net for one in lines if told.get(one.key) == stood.invoice)
        used = exact_sum(one.left for one in stood.used)
        assert home.get(stood.invoice, 0) == max(0, min(own, used))
    assert all(one.back == 0 for one in made.taken)
    old = exact_sum(u.back for one in made.taken for u in one.used if u.credit == "old")
    plain = exact_sum(one.net for one in lines) + exact_sum(home.values())
    drawn = min(old, max(Decimal(0), plain)) if holds else Decimal(0)
    assert made.net == plain - drawn


def test_credit_comes_home_in_the_category_that_it_had_lowered() -> None:
    """Whatever else the invoice charges: its tax falls by 7 % of 6.00."""
    stands = charged(Decimal("50.00"), Decimal(7), EUR, TaxProfile(), [("c", Decimal("4.00"))])
    lines = [line("rent", "100.00"), replace(line("k", "-10.00"), tax="low")]
    own = {"rent": Decimal(19), "k": Decimal(7)}
    taking = Taking((replace(stands, category="low"),), {"k": "RM-1"})
    made = settle(lines, SELLER, EUR, TaxProfile(), (), START, own, taking)
    (back,) = (x for x in made.lines if x.kind is LineKind.CREDIT)
    assert (back.tax, str(back.net)) == ("low", "4.00")
    assert [str(tax.tax) for tax in made.taxes] == ["-0.42", "19.00"]


@pytest.mark.parametrize(
    ("rule", "owed", "left", "expired", "gross"),
    [
        # 120.00 of a fee that credit paid whole go on at 16 %, and 120.00 of the next month
        ("no tax was charged on it: there is none to take back", "0", "160.00", False, "0.00"),
        ("what comes home is drawn again, as far as it goes", "0", "0", False, "139.20"),
        # 50.00 and their 9.50 come off, 9.51 of the rest is kept for that: 9.51 − 9.50 + 9.52
        ("of what was owed the tax is taken back", "50.00", "190.00", False, "9.53"),
        ("expired credit cannot be drawn again: it stays", "0", "0", True, "135.60"),
    ],
)
def test_credit_of_what_goes_on_at_another_rate(
    rule: str, owed: str, left: str, expired: bool, gross: str
) -> None:
    """19 % until now."""
    stands = charged(Decimal(owed), Decimal(19), EUR, TaxProfile(), [("gift", 240 - Decimal(owed))])
    lines = [line("off", "-120.00"), line("on", "120.00"), line("next", "120.00")]
    purse = [] if expired else [Credit("gift", CreditKind.PROMOTIONAL, Decimal(left), START)]
    seller = replace(SELLER, tax={"std": Decimal(16)})
    taking = Taking((stands,), {"off": "RM-1", "on": "RM-1"})
    made = settle(lines, seller, EUR, TaxProfile(), purse, START, {"off": Decimal(19)}, taking)
    assert str(made.gross) == gross, rule


def test_a_credit_note_draws_nothing() -> None:
    """Of a category that it charges neither: what it owes is refunded whole."""
    stands = charged(Decimal("50.00"), Decimal(19), EUR, TaxProfile())
    purse = [Credit(k.value, k, Decimal(99), START) for k in CreditKind]
    lines = [line("k", "-10.00"), replace(line("more", "30.00"), tax="low")]
    seller = replace(SELLER, tax={"std": Decimal(19), "low": Decimal(7)})
    taking = Taking((stands,), note=True)
    made = settle(lines, seller, EUR, TaxProfile(), purse, START, {}, taking)
    assert (len(made.lines), made.paid) == (2, ())
    assert made.due == made.gross == Decimal("20.20")


@pytest.mark.parametrize("rate", ["19", "7", "20"])
def test_truncated_taxes_are_taken_back_truncated(rate: str) -> None:
    profile = TaxProfile(rounding=TaxRounding.DOWN)
    stands = charged(Decimal("0.97"), Decimal(rate), EUR, profile)
    for part in ("0.13", "0.29", "0.55"):
        stands = after(note(Decimal(part), stands, EUR, profile).taken[0])
    assert stands.before_tax == stands.tax == truncate_money(
        Decimal("0.97") * Decimal(rate) / 100, EUR
    )  # fmt: skip


def test_what_was_drawn_last_goes_home_first() -> None:
    """docs/price.md: "what was drawn last before the rest", and only what is more is money."""
    stands = charged(
        Decimal("9.00"), Decimal(19), EUR, TaxProfile(),
        [("old", Decimal("4.00")), ("new", Decimal("6.00"))],
    )  # fmt: skip
    (one,) = note(Decimal("7.00"), stands, EUR, TaxProfile()).taken
    assert [(u.credit, str(u.back)) for u in one.used] == [("old", "1.00"), ("new", "6.00")]
    made = note(Decimal("5.00"), after(one), EUR, TaxProfile())
    (next_,) = made.taken
    lines = [(x.key, str(x.net)) for x in made.lines if x.kind is LineKind.CREDIT]
    assert lines == [("s/return/RM-1/old/std/19", "3.00")], "no line of nothing"
    assert [(u.credit, str(u.back)) for u in next_.used] == [("old", "3.00"), ("new", "0.00")]
    assert (str(next_.back), str(next_.back_tax)) == ("2.00", "0.38")
    assert untaken(one) == stands
    assert untaken(next_) == after(one)


def test_notes_of_prices_with_tax_have_nets_that_add_up_too() -> None:
    """Each alone would be 0.08 and 0.02: 0.06 of tax in all. The invoice of 0.30 has 0.25, 0.05."""
    profile = TaxProfile(TaxMode.INCLUSIVE)
    stands = charged(Decimal("0.30"), Decimal(19), EUR, profile)
    figures = []
    for _ in range(3):
        made = note(Decimal("0.10"), stands, EUR, profile)
        (tax,) = made.taxes
        assert (made.net, made.tax, made.gross) == (tax.base, tax.tax, Decimal("-0.10"))
        figures.append(f"{tax.base} {tax.tax}")
        stands = after(made.taken[0])
    assert figures == ["-0.08 -0.02", "-0.09 -0.01", "-0.08 -0.02"]
    assert (stands.before, stands.before_tax) == (stands.charged, stands.tax)


def test_the_whole_is_what_the_invoice_said() -> None:
    """EN 16931 leaves it a minor unit: what it said of 10.00 comes back, not base × rate."""
    stands = replace(charged(Decimal("10.00"), Decimal(19), EUR, TaxProfile()), tax=Decimal("1.91"))
    assert note(Decimal("10.00"), stands, EUR, TaxProfile()).tax == Decimal("-1.91")
    half = note(Decimal("5.00"), stands, EUR, TaxProfile())
    rest = note(Decimal("5.00"), after(half.taken[0]), EUR, TaxProfile())
    assert (str(half.tax), str(rest.tax)) == ("-0.95", "-0.96")


@pytest.mark.parametrize(
    ("rule", "std", "low", "more"),
    [
        ("what was charged", "-50.00", "-20.00", False),
        ("a cent more of one category", "-50.01", "-20.00", True),
        ("of the other", "-50.00", "-20.01", True),
        ("what the other has left does not make up for it", "-50.01", "-1.00", True),
        ("nor what the other charges", "-50.01", "30.00", True),
        ("what it charges was never taken", "-50.00", "30.00", False),
    ],
)
@pytest.mark.parametrize("mode", [TaxMode.EXCLUSIVE, TaxMode.INCLUSIVE])
def test_no_more_than_was_charged_in_each_category(
    rule: str, std: str, low: str, more: bool, mode: TaxMode
) -> None:
    """docs/price.md: of each no more than that charged in a category and rate."""
    profile = TaxProfile(mode)
    first = charged(Decimal("50.00"), Decimal(19), EUR, profile)
    second = replace(charged(Decimal("20.00"), Decimal(7), EUR, profile), category="low")
    lines = [line("k", std), replace(line("l", low), tax="low")]
    seller = replace(SELLER, tax={"std": Decimal(19), "low": Decimal(7)})
    taking = Taking((first, second), note=True)
    made = settle(lines, seller, EUR, profile, (), START, {}, taking)
    assert beyond(made.taxes, made.taken, profile) is more, rule


@pytest.mark.parametrize(
    ("rule", "amount", "before", "credit", "most"),
    [
        ("what it charged", "50.00", "0", "0", "50.00"),
        ("less what notes took before", "50.00", "20.00", "0", "30.00"),
        ("and the credit that it used", "50.00", "20.00", "4.00", "34.00"),
        ("of a category below zero nothing", "-10.00", "0", "0", "0"),
        ("but the credit", "-10.00", "0", "4.00", "4.00"),
    ],
)
def test_the_most_that_can_be_taken_back(
    rule: str, amount: str, before: str, credit: str, most: str
) -> None:
    """A category is below zero where an invoice corrects an older one at a rate that was."""
    stands = charged(Decimal(amount), Decimal(19), EUR, TaxProfile(), [("c", Decimal(credit))])
    stands = replace(stands, before=Decimal(before))
    assert room(stands) == Decimal(most), rule
    made = note(Decimal("99.00"), stands, EUR, TaxProfile())
    assert exact_sum(one.back + returned(one) for one in made.taken) == Decimal(most)
    assert beyond(made.taxes, made.taken, TaxProfile())
