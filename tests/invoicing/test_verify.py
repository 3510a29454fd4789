"""Verification needs the file alone, and no altered digit passes."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicing.digest import sealed, text
from invoicing.document import Document
from invoicing.documents.render import pdf
from invoicing.proof import verify_json
from invoicing.verify import verify
from schemas.errors import ConfigError
from tests.invoicing.papers import priced_paper

PAPER = priced_paper(2)
BODY = text(PAPER)
PROOF = str(sealed(PAPER)["digest"])
DIGITS = [found.start() for found in re.finditer(rb"\d", BODY)]


def test_an_untouched_invoice_has_no_findings(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(BODY)
    (tmp_path / "a.pdf").write_bytes(pdf(PAPER, BODY, PROOF))
    assert verify(tmp_path / "a.json") == []
    assert verify(tmp_path / "a.pdf") == []


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(DIGITS), st.integers(1, 9))
def test_any_altered_digit_is_found(at: int, by: int) -> None:
    digit = (BODY[at] - ord("0") + by) % 10
    altered = BODY[:at] + str(digit).encode() + BODY[at + 1 :]
    assert verify_json(altered)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BODY) - 1), st.binary(min_size=1, max_size=3))
def test_no_damage_passes_as_another_invoice(at: int, garbage: bytes) -> None:
    damaged = BODY[:at] + garbage + BODY[at + len(garbage) :]
    try:
        unchanged = json.loads(damaged) == json.loads(BODY)
    except ValueError:
        unchanged = False
    assert unchanged or verify_json(damaged)


def forged(change: Callable[[Document], Document]) -> list[str]:
    """Somebody alters the document and computes all digests again."""
    return [str(finding) for finding in verify_json(text(change(PAPER)))]


def test_a_forged_net_is_named_with_both_figures() -> None:
    def cheaper(document: Document) -> Document:
        first = document.lines[0]
        line = replace(first.line, net=Decimal("1.00"))
        return replace(document, lines=(replace(first, line=line), *document.lines[1:]))

    assert "lines[0].line.net: the invoice says 1.00, recomputed it is 49.00" in forged(cheaper)


def test_a_forged_total_is_named() -> None:
    def cheaper(document: Document) -> Document:
        return replace(document, totals=replace(document.totals, gross=Decimal("1.00")))

    (finding,) = forged(cheaper)
    assert finding.startswith("totals.gross: the invoice says 1.00, recomputed it is ")


def test_a_forged_tax_is_named() -> None:
    def less(document: Document) -> Document:
        (tax,) = document.taxes
        return replace(document, taxes=(replace(tax, tax=Decimal("0.01")),))

    (finding,) = forged(less)
    assert finding.startswith("taxes[0].tax: the invoice says 0.01, recomputed it is ")


def test_a_forged_day_is_named() -> None:
    def less(document: Document) -> Document:
        row = document.lines[1]
        (series,) = row.evidence
        days = (series.days[0] - 1, *series.days[1:])
        evidence = (replace(series, days=days),)
        lines = (document.lines[0], replace(row, evidence=evidence), *document.lines[2:])
        return replace(document, lines=lines)

    (finding,) = forged(less)
    assert finding.startswith("lines[1].evidence[0]: its 28 days sum to ")


def test_forged_usage_does_not_fit_lines_and_days() -> None:
    def less(document: Document) -> Document:
        first = document.priced[0]
        usage = replace(first.inputs.usage[0], quantity=1)
        inputs = replace(first.inputs, usage=(usage, *first.inputs.usage[1:]))
        return replace(document, priced=(replace(first, inputs=inputs), *document.priced[1:]))

    found = forged(less)
    assert any(f.startswith("lines[1].line.base_quantity: ") for f in found)
    assert any("but the pricing inputs hold 1" in f for f in found)


def test_a_line_too_few_is_found() -> None:
    found = forged(lambda document: replace(document, lines=document.lines[1:]))
    assert "lines: the invoice says 3 entries, recomputed it is 4 entries" in found


def test_a_price_that_was_never_agreed_shows_in_the_digest_of_its_part() -> None:
    found = [str(f) for f in verify_json(BODY.replace(b'"0.0833"', b'"0.0733"', 1))]
    assert found[0].startswith("lines[0]: was altered")
    assert "lines[0].line.unit_price: the invoice says 0.0733, recomputed it is 0.0833" in found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"offset": "17"', '"offset": 17', "the number 17 stands without quotes"),
        ('"currency": "EUR"', '"currency": "EUR", "currency": "EUR"', "a name occurs twice"),
        ('"kind": "invoice"', '"kind": "invoice", "note": "x"', "Document.note"),
        ('"rackmeter.invoice/2"', '"rackmeter.invoice/1"', "is not rackmeter.invoice/2"),
    ],
)
def test_what_no_invoice_writes_is_refused(old: str, new: str, says: str) -> None:
    found = verify_json(BODY.replace(old.encode(), new.encode(), 1))
    assert any(says in str(finding) for finding in found)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"digests": {}}'])
def test_something_else_is_a_finding_not_a_crash(content: bytes) -> None:
    assert verify_json(content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        verify(tmp_path / "none.json")


def test_a_pdf_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnothing")
    with pytest.raises(ConfigError):
        verify(tmp_path / "a.pdf")


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    other = replace(PAPER, totals=replace(PAPER.totals, gross=Decimal("1.00")))
    (tmp_path / "a.pdf").write_bytes(pdf(other, BODY, PROOF))
    found = [str(finding) for finding in verify(tmp_path / "a.pdf")]
    assert any("shows" in finding and "€1.00" in finding for finding in found)


def test_a_single_changed_byte_of_a_pdf_is_found(tmp_path: Path) -> None:
    whole = pdf(PAPER, BODY, PROOF)
    rng = random.Random(3)  # the same bytes in every run
    for _ in range(40):
        at = rng.randrange(len(whole))
        altered = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        (tmp_path / "a.pdf").write_bytes(altered)
        assert found_or_refused(tmp_path / "a.pdf")


def found_or_refused(path: Path) -> bool:
    try:
        return bool(verify(path))
    except ConfigError:
        return True


def test_every_leaf_of_the_document_is_covered() -> None:
    """Not only digits: changing any text anywhere is found."""
    body = json.loads(BODY)
    for path in leaves(body):
        altered = json.loads(BODY)
        put(altered, path)
        assert verify_json(json.dumps(altered).encode()), path


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list):
        # One element of a long list stands for all of them.
        return [leaf for i, part in enumerate(value[:2]) for leaf in leaves(part, (*path, i))]
    return [path]


def put(body: Any, path: tuple[Any, ...]) -> None:
    for step in path[:-1]:
        body = body[step]
    old = body[path[-1]]
    body[path[-1]] = "x" if not isinstance(old, bool) else not old


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """No package of any kind: isolated, without site-packages."""
    file = tmp_path / "a.json"
    file.write_bytes(BODY)
    program = (
        f"import sys, runpy; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
        f" sys.argv = ['verify', {str(file)!r}]; runpy.run_module('invoicing', run_name='__main__')"
    )
    for body, code in ((BODY, 0), (BODY.replace(b'"49.00"', b'"48.00"', 1), 3)):
        file.write_bytes(body)
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], capture_output=True, check=False, text=True
        )
        assert ran.returncode == code, ran
