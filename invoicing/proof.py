"""A document against itself: every digest, every line from the pricing inputs, adjustments, credit,
taxes and totals, the sums of days, and, of a PDF, the page. No database, no network.

What does not agree is a finding that names the place; an untouched invoice has none.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from invoicing.digest import DIGEST, DIGESTS, part_digests
from invoicing.document import FORMAT, Document, DocumentLine, Priced, of_scopes
from invoicing.lines import Header, document_lines, draft, local_days
from invoicing.pieces import covers, metered
from pipeline.attribute import attribute, divide
from pipeline.rating.price import price
from pipeline.rating.taken import untaken
from schemas.billing import Line, Usage
from schemas.errors import ConfigError
from schemas.serial import Json, SerialError, from_json, text_digest, to_json

PDF_MAGIC: Final = b"%PDF-"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree: the place in the document, and one sentence."""

    where: str
    says: str

    def __str__(self) -> str:
        return f"{self.where}: {self.says}"


class _NotAnInvoiceError(ValueError):
    """JSON that no invoice can be: says why."""


def attached_findings(file: bytes, body: bytes, name: str) -> list[Finding]:
    """Of a PDF beside its document: the one it carries, and its page."""
    try:
        if carried(file, Path(name)) != body:
            return [Finding("document", "is another one than the file beside it")]
    except ConfigError as error:
        return [Finding("pdf", str(error))]
    return shown_findings(file, body)


def shown_findings(file: bytes, body: bytes) -> list[Finding]:
    """What a PDF shows beside what it carries."""
    from invoicing.page import page_findings  # noqa: PLC0415 - needs the extra `server`

    inside = _parse(body)
    shown = page_findings(read(inside), body, file, inside[DIGEST])
    return [Finding(where, says) for where, says in shown]


def carried(file: bytes, path: Path) -> bytes:
    """The JSON of a PDF; anything else is it."""
    if not file.startswith(PDF_MAGIC):
        return file
    from invoicing.page import attached  # noqa: PLC0415 - needs the extra `server`

    return attached(file, path)


def verify_json(content: bytes) -> list[Finding]:
    """The checks of the document itself."""
    try:
        body = _parse(content)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not an invoice
        return [Finding("file", f"is not an invoice: {error}")]
    findings = list(_digests(body))
    try:
        document = read(body)
    except SerialError as error:
        return [*findings, Finding("document", str(error))]
    if document.format != FORMAT:
        return [*findings, Finding("format", f"{document.format} is not {FORMAT}")]
    for check in (_sums, recomputed):
        try:
            findings += check(document)
        except Exception as error:  # a stranger's file may hold anything
            findings.append(Finding("pricing", f"cannot be repeated: {error!r}"))
    return findings


def read(body: dict[str, Any]) -> Document:
    """The document inside its digests."""
    inner = {key: value for key, value in body.items() if key not in (DIGEST, DIGESTS)}
    return from_json(Document, inner)


def _parse(content: bytes) -> dict[str, Any]:
    """JSON as an invoice writes it: every name once, every number as text."""

    def refuse(number: str) -> None:
        raise _NotAnInvoiceError(f"the number {number} stands without quotes")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _NotAnInvoiceError(f"a name occurs twice among {', '.join(found)}")
        return found

    body = json.loads(
        content, object_pairs_hook=once, parse_int=refuse, parse_float=refuse, parse_constant=refuse
    )
    if not isinstance(body, dict) or not isinstance(body.get(DIGESTS), dict):
        raise _NotAnInvoiceError("it has no digests")
    return body


def _digests(body: dict[str, Any]) -> Iterator[Finding]:
    inner = {key: value for key, value in body.items() if key not in (DIGEST, DIGESTS)}
    stated, computed = body[DIGESTS], part_digests(inner)
    for part in [*computed, *(stated.keys() - computed.keys())]:
        if stated.get(part) != computed.get(part):
            yield Finding(part, "was altered: its content does not have the digest stated for it")
    whole = text_digest({key: value for key, value in body.items() if key != DIGEST})
    if body.get(DIGEST) != whole:
        yield Finding(DIGEST, f"the invoice says {body.get(DIGEST)}, its content has {whole}")


def recomputed(document: Document) -> Iterator[Finding]:
    """The invoice made again from its pricing inputs, compared field by field."""
    header = Header(
        document.kind, document.issued_at, document.timezone, document.currency,
        document.period, document.seller, document.buyer, document.profile, document.corrects,
    )  # fmt: skip
    rows = [row for priced in document.priced for row in _priced_again(document, priced)]
    made = draft(
        header, document.priced, rows, document.cut, document.credits, document.adjusted,
        [untaken(one) for one in document.taken],
    )  # fmt: skip
    again = replace(made, number=document.number)
    yield from _compare("", to_json(document), to_json(again))


def _priced_again(document: Document, priced: Priced) -> list[DocumentLine]:
    lines = price(priced.scope, priced.inputs, priced.as_of)
    known = {row.line.key: row.evidence for row in document.lines}
    evidence = [known.get(line.key, ()) for line in lines]
    return document_lines(priced.scope, lines, evidence)


def _compare(where: str, stated: Json, computed: Json) -> Iterator[Finding]:
    if isinstance(stated, dict) and isinstance(computed, dict):
        for name in stated.keys() | computed.keys():
            yield from _compare(f"{where}.{name}".lstrip("."), stated.get(name), computed.get(name))
    elif isinstance(stated, list) and isinstance(computed, list) and len(stated) == len(computed):
        for number, (one, other) in enumerate(zip(stated, computed, strict=True)):
            yield from _compare(f"{where}[{number}]", one, other)
    elif stated != computed:
        yield Finding(
            where, f"the invoice says {_short(stated)}, recomputed it is {_short(computed)}"
        )


def _short(value: Json) -> str:
    said = f"{len(value)} entries" if isinstance(value, list | dict) else str(value)
    return said if len(said) <= 120 else f"{said[:120]}…"


def _sums(document: Document) -> Iterator[Finding]:
    """Days make series, series make lines, and all of it is what the pricing inputs hold."""
    days = len(local_days(document.period, document.timezone))
    scopes = {priced.scope.scope: priced for priced in document.priced}
    rows = of_scopes(document)  # they come first
    for number, row in enumerate(rows):
        where, used = f"lines[{number}]", scopes[row.line.scope]
        inputs = _inputs_of(used, [one.line for one in rows], row.line)
        for place, series in enumerate(row.evidence):
            here = f"{where}.evidence[{place}]"
            if len(series.days) != days or sum(series.days) != series.quantity:
                yield Finding(
                    here, f"its {len(series.days)} days sum to {sum(series.days)}, not to"
                    f" {series.quantity} in {days} days",
                )  # fmt: skip
            expected = inputs.pop((series.server, series.meter, series.resource), 0)
            if expected != series.quantity:
                yield Finding(
                    here, f"measured {series.quantity}, but the pricing inputs hold {expected}"
                )
        for series_name, quantity in inputs.items():
            if quantity:
                yield Finding(where, f"no days are given for {quantity} of {' '.join(series_name)}")


def _inputs_of(priced: Priced, lines: list[Line], line: Line) -> dict[tuple[str, str, str], int]:
    """What the pricing inputs attribute to a line, by series."""
    sums: dict[tuple[str, str, str], int] = {}
    for part in owned_by(priced, lines, line):
        key = (part.server, part.meter, part.resource)
        sums[key] = sums.get(key, 0) + part.quantity
    return sums


def owned_by(priced: Priced, lines: list[Line], line: Line) -> Iterator[Usage]:
    """The parts of the usage that are a line's; ``lines`` are all of the document."""
    model = metered(priced.scope, line)
    if model is None:
        return
    same = [one for one in lines if (one.item, one.charge) == (line.item, line.charge)]
    edges = [e for one in same for e in (one.service.start, one.service.end) if e is not None]
    for owned in attribute(priced.scope, priced.inputs).owned:
        if owned.item == line.item and owned.usage.meter in model.meters:
            for part in divide(owned.usage, edges):
                if covers(line.service, part.start):
                    yield part
