"""An invoice as Factur-X / ZUGFeRD, profile EN 16931: the XML that accounting software reads. Pure.

Syntax: UN/CEFACT Cross Industry Invoice D22B, whose elements stand in the order of its schema. The
XML is the same in every language of the page. What cannot be said in the standard has no XML: a
currency of three decimals, a seller whose VAT id names no country, and what
:func:`invoicing.documents.en16931.sayable` refuses.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from invoicing.document import CREDIT_NOTE, Document, adjusted_of
from invoicing.documents.en16931 import REVERSE, Figures, Row, Tax, figures, sayable
from invoicing.documents.parties import buyer_party, country_of, seller_party
from schemas.billing import LineKind, Span

NAME: Final = "factur-x.xml"
"""Prescribed by Factur-X 1.0."""
DECLARATION: Final = "<?xml version='1.0' encoding='UTF-8'?>\n"
PROFILE: Final = "urn:cen.eu:en16931:2017"
CEFACT: Final = "urn:un:unece:uncefact:data:standard:"
NAMESPACES: Final = {
    "xmlns:rsm": f"{CEFACT}CrossIndustryInvoice:100",
    "xmlns:ram": f"{CEFACT}ReusableAggregateBusinessInformationEntity:100",
    "xmlns:udt": f"{CEFACT}UnqualifiedDataType:100",
}
INVOICE_CODE, CREDIT_CODE = "380", "381"
"""UNTDID 1001."""
TRANSFER, SEPA_TRANSFER = "30", "58"
"""UNTDID 4461."""
OBJECT: Final = "130"
"""UNTDID 1001: the identifier of what is invoiced; here the line's stable key."""
UNITS: Final = {
    "B": "AD", "kB": "2P", "MB": "4L", "GB": "E34", "TB": "E35", "PB": "E36",
    "h": "HUR", "hour": "HUR", "day": "DAY", "month": "MON", "year": "ANN",
    "kWh": "KWH",
}  # fmt: skip
"""UN/ECE Recommendation 20."""
ONE: Final = "C62"
"""Any other unit; its name is in the item's description."""
WHY_REVERSE: Final = ("Reverse charge", "VATEX-EU-AE")
NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOMENT: Final = timedelta(microseconds=1)


def einvoice(document: Document) -> bytes | None:
    """The XML; None where the standard has no words for the document."""
    if not sayable(document) or not country_of(document.seller.vat_id):
        return None
    known, zone = figures(document), ZoneInfo(document.timezone)
    root = ET.Element("rsm:CrossIndustryInvoice", NAMESPACES)
    context = _add(root, "rsm:ExchangedDocumentContext")
    _add(_add(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", PROFILE)
    head = _add(root, "rsm:ExchangedDocument")
    _add(head, "ram:ID", document.number)
    code = CREDIT_CODE if document.kind == CREDIT_NOTE else INVOICE_CODE
    _add(head, "ram:TypeCode", code)
    _day(head, "ram:IssueDateTime", document.issued_at.astimezone(zone).date())
    deal = _add(root, "rsm:SupplyChainTradeTransaction")
    for row in known.rows:
        _line(deal, document, row, zone)
    agreed = _add(deal, "ram:ApplicableHeaderTradeAgreement")
    seller_party(_add(agreed, "ram:SellerTradeParty"), document)
    buyer_party(_add(agreed, "ram:BuyerTradeParty"), document)
    delivered = _add(deal, "ram:ApplicableHeaderTradeDelivery")
    served = _add(delivered, "ram:ActualDeliverySupplyChainEvent")
    _day(served, "ram:OccurrenceDateTime", _last(document.period, zone))
    _settlement(_add(deal, "ram:ApplicableHeaderTradeSettlement"), document, known, zone)
    ET.indent(root)
    for node in root.iter():
        if node.text:
            node.text = NOT_XML.sub("\ufffd", node.text)
    return f"{DECLARATION}{ET.tostring(root, encoding='unicode')}\n".encode()


def _line(deal: ET.Element, document: Document, row: Row, zone: ZoneInfo) -> None:
    line = row.of.line
    item = _add(deal, "ram:IncludedSupplyChainTradeLineItem")
    about = _add(item, "ram:AssociatedDocumentLineDocument")
    _add(about, "ram:LineID", str(row.position))
    if line.corrects:
        invoice = adjusted_of(document, line).invoice
        note = f"Corrects {line.corrects}" + (f" of invoice {invoice}" if invoice else "")
        _add(_add(about, "ram:IncludedNote"), "ram:Content", note)
    product = _add(item, "ram:SpecifiedTradeProduct")
    _add(product, "ram:Name", line.title.strip() or line.key)
    unit = UNITS.get(line.unit, ONE)
    if unit == ONE and line.kind is LineKind.CHARGE:
        _add(product, "ram:Description", f"Unit: {line.unit}")
    price = _add(_add(item, "ram:SpecifiedLineTradeAgreement"), "ram:NetPriceProductTradePrice")
    _add(price, "ram:ChargeAmount", _number(row.price))
    delivered = _add(item, "ram:SpecifiedLineTradeDelivery")
    _add(delivered, "ram:BilledQuantity", _number(row.quantity), unitCode=unit)
    settled = _add(item, "ram:SpecifiedLineTradeSettlement")
    _tax(_add(settled, "ram:ApplicableTradeTax"), row.tax)
    _period(settled, line.service, zone)
    if row.extra:
        why = "Capped" if line.capped else "Rounding"
        _allowance(settled, row.extra, why)
    total = _add(settled, "ram:SpecifiedTradeSettlementLineMonetarySummation")
    _add(total, "ram:LineTotalAmount", _number(row.net))
    reference = _add(settled, "ram:AdditionalReferencedDocument")
    _add(reference, "ram:IssuerAssignedID", line.key)
    _add(reference, "ram:TypeCode", OBJECT)


def _settlement(node: ET.Element, document: Document, known: Figures, zone: ZoneInfo) -> None:
    _add(node, "ram:PaymentReference", document.number)
    _add(node, "ram:InvoiceCurrencyCode", document.currency)
    _means(node, document)
    for part in known.parts:
        tax = _add(node, "ram:ApplicableTradeTax")
        _add(tax, "ram:CalculatedAmount", _number(part.amount))
        _tax(tax, part.tax, part.base)
    _period(node, document.period, zone)
    for row in known.off:
        _allowance(node, row.net, row.of.line.title.strip() or row.of.line.key, row.tax)
    if document.kind == CREDIT_NOTE:
        terms = _add(node, "ram:SpecifiedTradePaymentTerms")
        _add(terms, "ram:Description", "In favour of the customer: set off or paid out")
    elif known.due > 0:
        terms = _add(node, "ram:SpecifiedTradePaymentTerms")
        _day(terms, "ram:DueDateDateTime", document.due_at.astimezone(zone).date())
    _totals(_add(node, "ram:SpecifiedTradeSettlementHeaderMonetarySummation"), document, known)
    named = [document.corrects, *(one.invoice for one in document.adjusted)]
    for number in dict.fromkeys(number for number in named if number):
        reference = _add(node, "ram:InvoiceReferencedDocument")
        _add(reference, "ram:IssuerAssignedID", number)


def _totals(node: ET.Element, document: Document, known: Figures) -> None:
    charges = sum((row.net for row in known.off if row.net > 0), Decimal(0))
    allowances = -sum((row.net for row in known.off if row.net <= 0), Decimal(0))
    _add(node, "ram:LineTotalAmount", _number(known.lines))
    if charges:
        _add(node, "ram:ChargeTotalAmount", _number(charges))
    if known.off:
        _add(node, "ram:AllowanceTotalAmount", _number(allowances))
    _add(node, "ram:TaxBasisTotalAmount", _number(known.net))
    _add(node, "ram:TaxTotalAmount", _number(known.tax), currencyID=document.currency)
    _add(node, "ram:GrandTotalAmount", _number(known.gross))
    if known.paid:
        _add(node, "ram:TotalPrepaidAmount", _number(known.paid))
    _add(node, "ram:DuePayableAmount", _number(known.due))


def _means(node: ET.Element, document: Document) -> None:
    seller = document.seller
    if not seller.iban or document.kind == CREDIT_NOTE:
        return
    means = _add(node, "ram:SpecifiedTradeSettlementPaymentMeans")
    _add(means, "ram:TypeCode", SEPA_TRANSFER if document.currency == "EUR" else TRANSFER)
    account = _add(means, "ram:PayeePartyCreditorFinancialAccount")
    _add(account, "ram:IBANID", seller.iban)
    if seller.bic:
        bank = _add(means, "ram:PayeeSpecifiedCreditorFinancialInstitution")
        _add(bank, "ram:BICID", seller.bic)


def _tax(node: ET.Element, tax: Tax, base: Decimal | None = None) -> None:
    """Of a line, or with its base of the breakdown, which also says why nothing is charged."""
    of_all = base is not None and tax.code == REVERSE
    _add(node, "ram:TypeCode", "VAT")
    if of_all:
        _add(node, "ram:ExemptionReason", WHY_REVERSE[0])
    if base is not None:
        _add(node, "ram:BasisAmount", _number(base))
    _add(node, "ram:CategoryCode", tax.code)
    if of_all:
        _add(node, "ram:ExemptionReasonCode", WHY_REVERSE[1])
    _add(node, "ram:RateApplicablePercent", _number(tax.rate))


def _allowance(node: ET.Element, amount: Decimal, reason: str, tax: Tax | None = None) -> None:
    """A charge, or below zero an allowance; on a document it says its tax."""
    extra = _add(node, "ram:SpecifiedTradeAllowanceCharge")
    indicator = "true" if amount > 0 else "false"
    _add(_add(extra, "ram:ChargeIndicator"), "udt:Indicator", indicator)
    _add(extra, "ram:ActualAmount", _number(abs(amount)))
    _add(extra, "ram:Reason", reason)
    if tax is not None:
        _tax(_add(extra, "ram:CategoryTradeTax"), tax)


def _period(node: ET.Element, span: Span, zone: ZoneInfo) -> None:
    """First and last day."""
    period = _add(node, "ram:BillingSpecifiedPeriod")
    _day(period, "ram:StartDateTime", span.start.astimezone(zone).date())
    if span.end is not None:
        _day(period, "ram:EndDateTime", _last(span, zone))


def _last(span: Span, zone: ZoneInfo) -> date:
    end = span.start if span.end is None else max(span.start, span.end - MOMENT)
    return end.astimezone(zone).date()


def _day(node: ET.Element, name: str, day: date) -> None:
    _add(_add(node, name), "udt:DateTimeString", f"{day:%Y%m%d}", format="102")


def _number(value: Decimal) -> str:
    """Plain digits, no exponent; no minus before zero."""
    return format(value or abs(value), "f")


def _add(parent: ET.Element, name: str, text: str = "", **attributes: str) -> ET.Element:
    node = ET.SubElement(parent, name, attributes)
    node.text = text or None
    return node


def told(xml: bytes) -> dict[str, str]:
    """Each field of an XML by its path. ValueError where it is none, or brings entities."""
    if b"<!" in xml:
        raise ValueError(f"{NAME} has a document type or comments: no e-invoice of rackmeter")
    return dict(_walk("", ET.fromstring(xml)))


def _walk(path: str, node: ET.Element) -> Iterator[tuple[str, str]]:
    seen: Counter[str] = Counter()
    for child in node:
        name = child.tag.rpartition("}")[2]
        seen[name] += 1
        yield from _walk(f"{path}/{name}" + (f"[{seen[name]}]" if seen[name] > 1 else ""), child)
    said = " ".join([(node.text or "").strip(), *node.attrib.values()]).strip()
    if said:
        yield path, said
