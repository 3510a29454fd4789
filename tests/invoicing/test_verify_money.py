"""No forged digit of credit, tax profile or adjustment passes, though all digests are made anew."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.digest import sealed, text
from invoicing.document import CREDIT_NOTE, Adjusted, Document
from invoicing.documents.render import pdf
from invoicing.lines import Header, draft
from invoicing.proof import verify_json
from invoicing.verify import verify
from pipeline.rating.price import price
from schemas.billing import BilledLine, LineKind
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile, TaxRounding
from tests.invoicing.papers import priced_paper
from tests.invoicing.test_verify import leaves, put

AT = datetime(2026, 2, 1, tzinfo=UTC)
PROFILE = TaxProfile(
    TaxMode.EXCLUSIVE, TaxRounding.DOWN, "FR", "FR40303265045", "VIES WAPIAAAA", AT
)  # fmt: skip
CREDITS = (
    Credit("prepaid", CreditKind.PAID, Decimal("9.99"), AT),
    Credit("welcome", CreditKind.PROMOTIONAL, Decimal("5.00"), AT, priority=1),
)


def adjusted(document: Document) -> Adjusted:
    """The last scope, as if it had been billed before at another rate: a line of it was dearer."""
    priced = document.priced[-1]
    billed = [
        BilledLine(one.key, one.net, one.tax, Decimal("16"), one.title, one.service, one.scope,
                   one.item, one.charge)
        for one in price(priced.scope, priced.inputs, priced.as_of)
    ]  # fmt: skip
    billed[0] = replace(billed[0], net=billed[0].net + 1)
    return Adjusted("RM-2025-000007", priced, tuple(billed))


def settled() -> Document:
    whole = priced_paper(2)
    first, own = whole.priced[:1], [
        row for row in whole.lines if row.line.scope == whole.priced[0].scope.scope
    ]  # fmt: skip
    header = Header(
        whole.kind, whole.issued_at, whole.timezone, whole.currency, whole.period, whole.seller,
        whole.buyer, PROFILE,
    )  # fmt: skip
    made = draft(header, first, own, whole.cut, CREDITS, (adjusted(whole),))
    return replace(made, number=whole.number)


PAPER = settled()
BODY = text(PAPER)


def test_it_has_everything_and_agrees(tmp_path: Path) -> None:
    kinds = [row.line.kind for row in PAPER.lines]
    assert kinds[-2:] == [LineKind.ADJUSTMENT, LineKind.CREDIT]
    assert {(one.category, str(one.rate)) for one in PAPER.taxes} == {
        ("hosting", "16"), ("hosting", "19"),
    }  # fmt: skip
    assert PAPER.totals.due == PAPER.totals.gross - Decimal("9.99")
    assert verify_json(BODY) == []
    (tmp_path / "a.pdf").write_bytes(pdf(PAPER, BODY, str(sealed(PAPER)["digest"])))
    assert verify(tmp_path / "a.pdf") == []


def _line(document: Document, kind: LineKind) -> Document:
    rows = [
        replace(row, line=replace(row.line, net=row.line.net + 1)) if row.line.kind is kind else row
        for row in document.lines
    ]
    return replace(document, lines=tuple(rows))


def _billed(document: Document) -> Document:
    (one,) = document.adjusted
    first = replace(one.billed[0], net=one.billed[0].net + 1)
    return replace(document, adjusted=(replace(one, billed=(first, *one.billed[1:])),))


def _rate(document: Document) -> Document:
    rows = [replace(row, rate=Decimal("7")) for row in document.lines]
    return replace(document, lines=tuple(rows))


@pytest.mark.parametrize(
    ("forge", "where"),
    [
        (lambda d: replace(d, totals=replace(d.totals, due=Decimal("1.00"))), "totals.due"),
        (lambda d: replace(d, paid=()), "paid"),
        (
            lambda d: replace(d, paid=(replace(d.paid[0], amount=Decimal("9.98")),)),
            "paid[0].amount",
        ),
        (lambda d: replace(d, credits=d.credits[1:]), "paid"),
        (lambda d: replace(d, credits=d.credits[:1]), "lines"),
        (
            lambda d: replace(d, profile=replace(d.profile, rounding=TaxRounding.HALF_UP)),
            "totals.tax",
        ),
        (
            lambda d: replace(d, profile=replace(d.profile, mode=TaxMode.REVERSE_CHARGE)),
            "lines[0].rate",
        ),
        (lambda d: replace(d, profile=replace(d.profile, mode=TaxMode.INCLUSIVE)), "totals.net"),
        (lambda d: _line(d, LineKind.ADJUSTMENT), "lines[2].line.net"),
        (lambda d: _line(d, LineKind.CREDIT), "lines[3].line.net"),
        (_billed, "lines[2].line.net"),
        (_rate, "lines[0].rate"),
        (lambda d: replace(d, adjusted=()), "lines"),
        (
            lambda d: replace(d, adjusted=(replace(d.adjusted[0], number=2),)),
            "lines[2].line.key",
        ),
        (lambda d: replace(d, kind=CREDIT_NOTE), "invoice_id"),
    ],
)
def test_a_forged_figure_is_found(forge: Callable[[Document], Document], where: str) -> None:
    found = [str(finding) for finding in verify_json(text(forge(PAPER)))]
    assert any(re.match(rf"{re.escape(where)}\b", one) for one in found), found


def test_every_leaf_of_what_is_new_is_covered() -> None:
    body = json.loads(BODY)
    new = ("profile", "credits", "paid", "adjusted", "corrects", "totals")
    for path in (leaf for leaf in leaves(body) if leaf[0] in new):
        altered = json.loads(BODY)
        put(altered, path)
        assert verify_json(json.dumps(altered).encode()), path
