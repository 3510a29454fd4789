"""The words of an invoice, one table a language. Pure; a language is complete or not listed."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """Everything the page says that is not data. Braces name what is filled in."""

    locale: str
    lang: str
    invoice: str
    number: str
    issued: str
    period: str
    customer: str
    vat_id: str
    due: str
    subject: str
    columns: tuple[str, str, str, str, str]
    net: str
    tax: str
    total: str
    paid: str
    to_pay: str
    payment: str
    pay_by: str
    nothing_to_pay: str
    cap: str
    used: str
    usage: str
    usage_note: str
    measured: str
    coverage: str
    peak: str
    verify: str
    verify_note: str
    attachment: str
    page: str
    of: str


ENGLISH: Final = Words(
    locale="en_GB",
    lang="en",
    invoice="Invoice",
    number="Invoice number",
    issued="Date of issue",
    period="Service period",
    customer="Customer",
    vat_id="Your VAT ID",
    due="Payable by",
    subject="For services from {period}, in {currency}.",
    columns=("Service", "Quantity", "Unit price", "Tax", "Amount"),
    net="Net amount",
    tax="{rate} tax on {base}",
    total="Total",
    paid="Paid with credit {credit}",
    to_pay="To pay",
    payment="Payment",
    pay_by="Please pay {gross} by {due}, stating {number}.",
    nothing_to_pay="Nothing is payable.",
    cap="{exact} at the hourly rate, capped at {cap} a month",
    used="{used} used, {allowance} included",
    usage="What was measured",
    usage_note="Each bar is a day in {timezone}. Figures are sums of five-minute windows.",
    measured="{servers} · {meters}",
    coverage="{percent} observed",
    peak="highest day {peak}",
    verify="Check it yourself",
    verify_note=(
        "This PDF carries the complete invoice as data: every measurement sum, price and rounding. "
        "The command below computes all amounts again from them, without access to our systems, "
        "and names any digit that differs."
    ),
    attachment="The complete invoice: measurements, prices, roundings, digests.",
    page="Page",
    of="of",
)

LANGUAGES: Final = {"en": ENGLISH}
