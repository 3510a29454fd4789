"""An amount off is of many lines: what a commitment counts of it, and what a fee in advance has to
do with it, does not depend on which line it stands.
"""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.price import price
from schemas.billing import Billed, Inputs, Line, LineKind, Scope, Span
from schemas.prices import Bill, Charge, Fee, PerUnit
from schemas.terms import Commitment, Discount, Term
from tests.pipeline.rating.worlds import END, MONTH, START, hour, row, scope_of

ALWAYS = Span(START)
OFF = Discount("off", ALWAYS, amount=Decimal("50.00"))


def fees(**nets: str) -> Scope:
    """A star in the price: of another tax category."""
    rows = [
        row(
            Charge(Fee(), PerUnit(Decimal(net.strip("*"))), "books" if "*" in net else "hosting"),
            name, ALWAYS,
        )
        for name, net in nets.items()
    ]  # fmt: skip
    return scope_of(*rows, rented=ALWAYS)


def least(amount: str, *charges: str, name: str = "least", valid: Span = ALWAYS) -> Commitment:
    return Commitment(name, valid, Decimal(amount), Term.MONTH, "hosting", charges)


def made(scope: Scope, kind: LineKind) -> dict[str, str]:
    return {x.key.split("acme/")[1].replace("/2026-04-01T00:00:00Z", ""): str(x.net)
            for x in price(scope, Inputs(MONTH), END) if x.kind is kind}  # fmt: skip


@pytest.mark.parametrize("other", ["ipv4", "zip"])
def test_a_commitment_to_some_charges_counts_their_share(other: str) -> None:
    """50.00 off 110.00: 45.45 are the share of the rent, whatever the other is called."""
    scope = replace(
        fees(rent="100.00", **{other: "10.00"}), discounts=(OFF,),
        commitments=(least("100.00", "rent"),),
    )  # fmt: skip
    assert made(scope, LineKind.DISCOUNT) == {
        "discount/off/hosting": "-4.55", "discount/off/hosting/least": "-45.45",
    }  # fmt: skip
    assert list(made(scope, LineKind.TRUE_UP).values()) == ["45.45"]


@pytest.mark.parametrize(
    ("rule", "commitments", "shares"),
    [
        ("none", (), {"hosting": "-40.00", "books": "-10.00"}),
        ("of all charges", (least("1.00"),), {"hosting": "-40.00", "books": "-10.00"}),
        ("over by then", (least("1.00", "a", valid=Span(hour(-9), START)),),
         {"hosting": "-40.00", "books": "-10.00"}),
        ("of charges that nobody has", (least("1.00", "x"),),
         {"hosting": "-40.00", "books": "-10.00"}),
        ("of all charges of a category", (least("1.00", "a", "b"),),
         {"hosting/least": "-40.00", "books": "-10.00"}),
        ("two that overlap", (least("1.00", "a", "b"), least("1.00", "b", "c", name="more")),
         {"hosting/least": "-30.00", "hosting/least/more": "-10.00", "books/more": "-10.00"}),
    ],
)  # fmt: skip
def test_it_is_shared_among_what_is_counted(
    rule: str, commitments: tuple[Commitment, ...], shares: dict[str, str]
) -> None:
    """Of 60.00, 20.00 and, in another category, 20.00."""
    scope = replace(
        fees(a="60.00", b="20.00", c="20.00*"), discounts=(OFF,), commitments=commitments
    )
    found = made(scope, LineKind.DISCOUNT)
    assert found == {f"discount/off/{name}": net for name, net in shares.items()}, rule


def ahead(*billed: str, terms: Scope | None = None) -> list[Line]:
    """A plan of 30.00 in advance, of which so much was billed for April; April's own lines."""
    plan = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")
    scope = scope_of(row(plan, "plan", ALWAYS), rented=ALWAYS)
    if terms is not None:
        scope = replace(scope, discounts=terms.discounts, commitments=terms.commitments)
    before = tuple(Billed("web", "plan", "hosting", Decimal(one), Decimal(19)) for one in billed)
    lines = price(scope, Inputs(MONTH, billed=before), END)
    return [x for x in lines if x.service.start < END]


@pytest.mark.parametrize(
    ("rule", "terms", "billed", "lines"),
    [
        ("an amount off stands alone beside a fee that came to what was billed",
         (OFF,), "30.00", ["discount -30.00"]),
        ("one of a part of it", (replace(OFF, amount=Decimal(5)),), "30.00", ["discount -5.00"]),
        ("a percentage was billed with the fee",
         (replace(OFF, amount=Decimal(0), percent=Decimal(10)),), "27.00", []),
        ("both of one name", (replace(OFF, amount=Decimal(5), percent=Decimal(10)),), "27.00",
         ["discount -5.00"]),
        ("what was not billed so is",
         (replace(OFF, amount=Decimal(5), percent=Decimal(10)),), "30.00",
         ["charge 30.00", "discount -5.00", "billed in advance -30.00", "discount -3.00"]),
    ],
)  # fmt: skip
def test_beside_a_fee_in_advance(
    rule: str, terms: tuple[Discount, ...], billed: str, lines: list[str]
) -> None:
    scope = replace(fees(plan="30.00"), discounts=terms)
    found = [f"{x.kind.value} {x.net}" for x in ahead(billed, terms=scope)]
    assert sorted(found) == sorted(lines), rule


def test_a_commitment_of_the_name_of_a_fee_in_advance_is_another_line() -> None:
    scope = replace(fees(plan="30.00"), commitments=(least("100.00", name="plan"),))
    assert [f"{x.kind.value} {x.net}" for x in ahead("30.00", terms=scope)] == ["true-up 70.00"]
