"""What a mail says of payments and standing, in English or German. Pure.

Subject, lead and rows; the page around them is that of every mail (sinks.mail_words).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from babel.dates import format_date
from babel.numbers import format_currency

from pipeline.periods import zone
from schemas import events

_WORDS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "en": {
        events.PAYMENT_RECEIVED: ("{invoice} is paid", "We received {amount}. Thank you."),
        events.PAYMENT_FAILED: (
            "{invoice} could not be paid",
            (
                "{amount} could not be collected by the way to pay that you saved. We will try"
                " again in the next days; save another one, and it is tried at once."
            ),
        ),
        events.PAYMENT_ACTION: (
            "{invoice} needs you",
            "To pay {amount}, please go on here: {next}",
        ),
        events.PAYMENT_REFUNDED: (
            "{amount} is on its way to you",
            "We sent {amount} of {invoice} back the way it came.",
        ),
        events.WALLET_LOW: (
            "Your prepaid balance is low",
            "With all that has come up until now, {amount} is left of what you paid ahead.",
        ),
        events.WALLET_RESTORED: (
            "Your prepaid balance is sufficient again",
            "With all that has come up until now, {amount} is left of what you paid ahead.",
        ),
        events.DUNNING_NOTICE: (
            "{invoice} is unpaid: {next_state} from {day}",
            (
                "{invoice} is due and not paid. Unless it is paid by then, from {day} your account"
                " is {next_state}: {effect}"
            ),
        ),
        events.DUNNING_CHANGED: ("Your account is {state}", "{effect}"),
    },
    "de": {
        events.PAYMENT_RECEIVED: ("{invoice} ist bezahlt", "Wir haben {amount} erhalten. Danke."),
        events.PAYMENT_FAILED: (
            "{invoice} konnte nicht bezahlt werden",
            (
                "{amount} ließen sich über Ihre hinterlegte Zahlungsart nicht einziehen. Wir"
                " versuchen es in den nächsten Tagen erneut, mit einer neuen Zahlungsart sofort."
            ),
        ),
        events.PAYMENT_ACTION: (
            "{invoice} braucht Sie",
            "Um {amount} zu bezahlen, geht es hier weiter: {next}",
        ),
        events.PAYMENT_REFUNDED: (
            "{amount} sind auf dem Weg zu Ihnen",
            "Wir haben {amount} von {invoice} auf dem Weg zurückgesandt, auf dem es kam.",
        ),
        events.WALLET_LOW: (
            "Ihr Guthaben geht zur Neige",
            "Mit allem, was bis jetzt angefallen ist, bleiben von Ihrem Guthaben {amount}.",
        ),
        events.WALLET_RESTORED: (
            "Ihr Guthaben reicht wieder",
            "Mit allem, was bis jetzt angefallen ist, bleiben von Ihrem Guthaben {amount}.",
        ),
        events.DUNNING_NOTICE: (
            "{invoice} ist unbezahlt: {next_state} ab {day}",
            (
                "{invoice} ist fällig und nicht bezahlt. Geht bis dahin kein Geld ein, ist Ihr"
                " Konto ab {day} {next_state}: {effect}"
            ),
        ),
        events.DUNNING_CHANGED: ("Ihr Konto ist {state}", "{effect}"),
    },
}
_STATES: Final = {
    "en": {
        "current": ("in order", "Everything is paid; what was suspended because of it is resumed."),
        "overdue": ("overdue", "An invoice is due and not paid."),
        "restricted": ("restricted", "nothing new can be rented; what you have runs on."),
        "suspended": ("suspended", "your servers are stopped; their data is kept."),
        "terminated": ("terminated", "what you rent ends, and its data is deleted after that."),
    },
    "de": {
        "current": ("in Ordnung", "Alles ist bezahlt; was deshalb gesperrt war, läuft wieder."),
        "overdue": ("überfällig", "Eine Rechnung ist fällig und nicht bezahlt."),
        "restricted": ("eingeschränkt", "Neues lässt sich nicht mieten; Laufendes läuft weiter."),
        "suspended": ("gesperrt", "Ihre Server stehen still; ihre Daten bleiben."),
        "terminated": ("beendet", "was Sie mieten, endet; danach werden die Daten gelöscht."),
    },
}
_ROWS: Final = {
    "en": {"account": "Account", "invoice": "Invoice", "transfer": "Reference"},
    "de": {"account": "Konto", "invoice": "Rechnung", "transfer": "Verwendungszweck"},
}
_LOCALES: Final = {"en": "en_GB", "de": "de"}
KINDS: Final = frozenset(_WORDS["en"])


@dataclass(frozen=True, slots=True)
class Said:
    """What stands in the mail."""

    subject: str
    lead: str
    rows: list[tuple[str, str]]


def said(body: dict[str, Any], language: str, timezone: str) -> Said:
    """Of an event of ``KINDS``."""
    data, states = body["data"], _STATES[language]
    subject, lead = _WORDS[language][body["type"]]
    following, effect = states[str(data.get("next") or data.get("state") or "current")]
    values = {
        "invoice": str(data.get("invoice", "")),
        "amount": _amount(data, language),
        "next": str(data.get("link") or data.get("transfer") or ""),
        "next_state": following,
        "state": following,
        "effect": effect,
        "day": _day(data.get("not_before"), language, timezone),
    }
    names = _ROWS[language]
    rows = [(names[key], str(data[key])) for key in names if data.get(key)]
    lead = lead.format(**values)
    return Said(" ".join(subject.format(**values).split()), lead[:1].upper() + lead[1:], rows)


def _amount(data: dict[str, Any], language: str) -> str:
    if "amount" not in data:
        return ""
    amount = Decimal(data["amount"])
    return format_currency(
        amount, data["currency"], locale=_LOCALES[language], currency_digits=False,
        format=None, decimal_quantization=False,
    )  # fmt: skip


def _day(text: str | None, language: str, timezone: str) -> str:
    if text is None:
        return ""
    local = datetime.fromisoformat(text).astimezone(zone(timezone))
    return format_date(local, "long", locale=_LOCALES[language])
