"""The words of an invoice, one table a language. Pure; a language is complete or not listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """Everything the page says that is not data. Braces name what is filled in."""

    locale: str
    lang: str
    invoice: str
    credit_note: str
    number: str
    credit_number: str
    issued: str
    period: str
    corrects: str
    customer: str
    vat_id: str
    due: str
    subject: str
    subject_credit: str
    columns: tuple[str, str, str, str, str]
    net: str
    tax: str
    total: str
    paid: str
    to_pay: str
    payment: str
    pay_by: str
    nothing_to_pay: str
    in_favour: str
    account: str
    reverse_charge: str
    inclusive: str
    correction: str
    correction_of: str
    credit: str
    given_back: str
    cap: str
    used: str
    usage: str
    usage_note: str
    measured: str
    coverage: str
    unobserved: str
    before: str
    after: str
    between: str
    peak: str
    verify: str
    verify_note: str
    attachment: str
    einvoice: str
    page: str
    of: str
    units: Mapping[str, str]
    """Units that are words; all others are symbols, the same in every language."""


ENGLISH: Final = Words(
    locale="en_GB",
    lang="en",
    invoice="Invoice",
    credit_note="Credit note",
    number="Invoice number",
    credit_number="Credit note number",
    issued="Date of issue",
    period="Service period",
    corrects="Corrects invoice",
    customer="Customer",
    vat_id="Your VAT ID",
    due="Payable by",
    subject="For services from {period}, in {currency}.",
    subject_credit="Corrects invoice {invoice} for services from {period}, in {currency}.",
    columns=("Service", "Quantity", "Unit price", "Tax", "Amount"),
    net="Net amount",
    tax="{rate} tax on {base}",
    total="Total",
    paid="Paid with credit {credit}",
    to_pay="To pay",
    payment="Payment",
    pay_by="Please pay {gross} by {due}, stating {number}.",
    nothing_to_pay="Nothing is payable.",
    in_favour="{gross} is in your favour: it is set off or paid out, stating {number}.",
    account="Account",
    reverse_charge="Reverse charge: the customer is liable for the VAT (Article 196 of Directive"
    " 2006/112/EC).",
    inclusive="Amounts of the lines include tax.",
    correction="Correction",
    correction_of="corrects invoice {invoice}, {period}",
    credit="Credit",
    given_back="given back, of invoice {invoice}",
    cap="{exact} at the hourly rate, capped at {cap} a month",
    used="{used} used, {allowance} included",
    usage="What was measured",
    usage_note="Each bar is a day in {timezone}. Figures are sums of five-minute windows.",
    measured="{servers} · {meters}",
    coverage="{percent} observed",
    unobserved="not observed: {spans}",
    before="before {at}",
    after="after {at}",
    between="short gaps in between",
    peak="highest day {peak}",
    verify="Check it yourself",
    verify_note=(
        "This PDF carries the complete invoice as data: every measurement sum, price and rounding. "
        "The command below computes all amounts again from them, without access to our systems, "
        "and names any digit that differs."
    ),
    attachment="The complete invoice: measurements, prices, roundings, digests.",
    einvoice="Electronic invoice: Factur-X / ZUGFeRD, EN 16931.",
    page="Page",
    of="of",
    units={"hour": "h"},
)

GERMAN: Final = Words(
    locale="de_DE",
    lang="de",
    invoice="Rechnung",
    credit_note="Rechnungskorrektur",
    number="Rechnungsnummer",
    credit_number="Belegnummer",
    issued="Ausstellungsdatum",
    period="Leistungszeitraum",
    corrects="Korrigiert Rechnung",
    customer="Kundennummer",
    vat_id="Ihre USt-IdNr.",
    due="Zahlbar bis",
    subject="Für Leistungen im Zeitraum {period}, in {currency}.",
    subject_credit="Korrektur der Rechnung {invoice} für Leistungen im Zeitraum {period},"
    " in {currency}.",
    columns=("Leistung", "Menge", "Einzelpreis", "USt.", "Betrag"),
    net="Nettobetrag",
    tax="{rate} USt. auf {base}",
    total="Gesamtbetrag",
    paid="Bezahlt aus Guthaben {credit}",
    to_pay="Zu zahlen",
    payment="Zahlung",
    pay_by="Bitte zahlen Sie {gross} bis zum {due} unter Angabe von {number}.",
    nothing_to_pay="Es ist nichts zu zahlen.",
    in_favour="{gross} zu Ihren Gunsten: wird verrechnet oder ausgezahlt, mit Angabe von {number}.",
    account="Bankverbindung",
    reverse_charge="Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge, Artikel 196 der"
    " Richtlinie 2006/112/EG).",
    inclusive="Die Beträge der Positionen enthalten die Umsatzsteuer.",
    correction="Korrektur",
    correction_of="korrigiert Rechnung {invoice}, {period}",
    credit="Guthaben",
    given_back="zurückgegeben, von Rechnung {invoice}",
    cap="{exact} nach Stunden, höchstens {cap} im Monat",
    used="{used} verbraucht, {allowance} inklusive",
    usage="Was gemessen wurde",
    usage_note="Jeder Balken ist ein Tag in {timezone}. Die Werte sind Summen von Fenstern zu"
    " fünf Minuten.",
    measured="{servers} · {meters}",
    coverage="{percent} beobachtet",
    unobserved="nicht beobachtet: {spans}",
    before="vor {at}",
    after="nach {at}",
    between="kurze Lücken dazwischen",
    peak="höchster Tag {peak}",
    verify="Prüfen Sie selbst",
    verify_note=(
        "Dieses PDF enthält die vollständige Rechnung als Daten: jede Messsumme, jeden Preis und "
        "jede Rundung. Der folgende Befehl berechnet daraus alle Beträge neu, ohne Zugriff auf "
        "unsere Systeme, und nennt jede Ziffer, die abweicht."
    ),
    attachment="Die vollständige Rechnung: Messungen, Preise, Rundungen, Prüfsummen.",
    einvoice="Elektronische Rechnung: Factur-X / ZUGFeRD, EN 16931.",
    page="Seite",
    of="von",
    units={"hour": "h", "month": "Monate", "day": "Tage", "GPU-hour": "GPU-Stunden"},
)

LANGUAGES: Final = {"en": ENGLISH, "de": GERMAN}
