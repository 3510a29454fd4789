"""An alert as a person reads it: subject, text and HTML, in English or German. Pure.

Everything comes from the event's body; a figure stands as a bar too. Values are escaped for HTML,
and a subject is one line: titles of items are what operators wrote.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any, Final

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from pipeline.money import minor_units
from pipeline.periods import MICROSECOND, zone
from schemas.events import THRESHOLD_CLEARED, THRESHOLD_FORECAST
from sinks.payment_words import KINDS, said

MINUTE_TEXT: Final = {"en": "d MMM yyyy, HH:mm z", "de": "d. MMM yyyy, HH:mm z"}
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "crossed": "{thing}: {percent} % of {limit} is reached",
        "suspends": "{thing}: {limit} is reached, it is being suspended",
        "forecast": "{thing}: {limit} will be reached at {at}",
        "amount": "{thing}: below {percent} % of {limit} again",
        "limit": "{thing}: below {percent} % of {limit}, the new limit",
        "dropped": "{thing}: {percent} % of {limit} is no limit any more",
        "month": "{thing}: a new month has begun",
        "slower": "{thing}: {limit} will not be reached after all",
        "lead_crossed": "{thing} has come to {used} of {limit}.",
        "lead_suspends": "{thing} has come to {used}. The limit of {limit} is a cap: what it is for"
        " is being suspended until the limit is raised or a new month begins.",
        "lead_forecast": "{thing} has come to {used}. At the rate of the last hour {limit} will be"
        " reached at {at}.",
        "lead_amount": "{thing} has come to {used} of {limit}: below {percent} % again.",
        "lead_limit": "The limit of {thing} is {limit} now. It has come to {used}, below"
        " {percent} %.",
        "lead_dropped": "{percent} % of {limit} is no limit of {thing} any more.",
        "lead_month": "A new month has begun: what {thing} came to in the last one counts no more.",
        "lead_slower": "At the rate of the last hour {thing} does not come to {limit} in this"
        " period.",
        "resumes": " What was suspended because of it is being resumed.",
        "partly": " What was suspended because of it is being resumed, but for what something else"
        " holds.",
        "stays": " What was suspended because of it stays so: another cap or an unpaid invoice"
        " holds it.",
        "row_used": "Used",
        "row_stands": "As it stands, not certain yet",
        "row_limit": "Limit",
        "row_period": "Period",
        "row_account": "Account",
        "row_measured": "As of",
        "money": "cost",
    },
    "de": {
        "crossed": "{thing}: {percent} % von {limit} sind erreicht",
        "suspends": "{thing}: {limit} sind erreicht, es wird gesperrt",
        "forecast": "{thing}: {limit} werden am {at} erreicht",
        "amount": "{thing}: wieder unter {percent} % von {limit}",
        "limit": "{thing}: unter {percent} % von {limit}, der neuen Grenze",
        "dropped": "{thing}: {percent} % von {limit} sind keine Grenze mehr",
        "month": "{thing}: ein neuer Monat hat begonnen",
        "slower": "{thing}: {limit} werden nun doch nicht erreicht",
        "lead_crossed": "{thing}: {used} von {limit} sind verbraucht.",
        "lead_suspends": "{thing} steht bei {used}. Die Grenze von {limit} ist eine Obergrenze:"
        " Betroffenes wird gesperrt, bis sie erhöht wird oder ein neuer Monat beginnt.",
        "lead_forecast": "{thing} steht bei {used}. Mit der Rate der letzten Stunde werden {limit}"
        " am {at} erreicht.",
        "lead_amount": "{thing} steht bei {used} von {limit}: wieder unter {percent} %.",
        "lead_limit": "Die Grenze für {thing} ist jetzt {limit}. Mit {used} sind {percent} % davon"
        " nicht erreicht.",
        "lead_dropped": "{percent} % von {limit} sind für {thing} keine Grenze mehr.",
        "lead_month": "Ein neuer Monat hat begonnen: was {thing} im letzten erreicht hat, zählt"
        " nicht mehr.",
        "lead_slower": "Mit der Rate der letzten Stunde kommt {thing} in diesem Zeitraum nicht"
        " auf {limit}.",
        "resumes": " Was deshalb gesperrt war, wird wieder freigegeben.",
        "partly": " Was deshalb gesperrt war, wird wieder freigegeben, bis auf das, was aus einem"
        " anderen Grund gesperrt bleibt.",
        "stays": " Was deshalb gesperrt war, bleibt gesperrt: eine andere Obergrenze oder eine"
        " unbezahlte Rechnung hält es.",
        "row_used": "Verbraucht",
        "row_stands": "Derzeit, noch nicht sicher",
        "row_limit": "Grenze",
        "row_period": "Zeitraum",
        "row_account": "Konto",
        "row_measured": "Stand",
        "money": "Kosten",
    },
}
_LOCALES: Final = {"en": "en_GB", "de": "de"}
LANGUAGES: Final = tuple(_WORDS)
_MONEY: Final = {0: "#,##0", 2: "#,##0.00", 3: "#,##0.000"}
"""Patterns by minor units."""
_BAR: Final = {"ok": "#2f6f4f", "warn": "#b26a00", "over": "#b3261e"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's content."""

    subject: str
    text: str
    html: str
    language: str


def letter(body: dict[str, Any], language: str, timezone: str) -> Letter:
    """The event's body as a mail; days and times are the customer's own."""
    if body["type"] in KINDS:
        of = said(body, language, timezone)
        return _mail(of.subject, of.lead, of.rows, None, language)
    words, data = _WORDS[language], body["data"]
    kind = _kind(body["type"], data)
    values = _values(data, language, timezone)
    subject = " ".join(words[kind].format(**values).split())
    lead = words[f"lead_{kind}"].format(**values) + words.get(_freed(data), "")
    rows = [
        (words["row_account"], str(data["account"])),
        *((words[f"row_{name}"], values[name]) for name in ("used", "stands") if name in data),
        *((words[f"row_{name}"], values[name]) for name in ("limit", "period", "measured")),
    ]
    return _mail(subject, lead, rows, _share(data), language)


def _mail(
    subject: str, lead: str, rows: list[tuple[str, str]], share: int | None, language: str
) -> Letter:
    width = max(len(name) for name, _ in rows) + 2
    text = "\n".join([lead, "", *(f"{name:<{width}}{value}" for name, value in rows), ""])
    return Letter(subject, text, _html(subject, lead, rows, share, language), language)


def _kind(event: str, data: dict[str, Any]) -> str:
    if event == THRESHOLD_CLEARED:
        slower = data["threshold"].endswith("/forecast") and "used" in data
        return "slower" if slower else str(data["because"])
    if event == THRESHOLD_FORECAST:
        return "forecast"
    return "suspends" if data.get("suspends") else "crossed"


def _freed(data: dict[str, Any]) -> str:
    """Which word there is for what becomes of what a cap had suspended."""
    if data.get("resumes"):
        return "partly" if data["stays"] else "resumes"
    return "stays" if data.get("stays") else ""


def _values(data: dict[str, Any], language: str, timezone: str) -> dict[str, str]:
    """An allowance and a budget say their limit under different names."""
    unit, local, locale = str(data["unit"]), zone(timezone), _LOCALES[language]
    places = _MONEY[minor_units(unit)] if data["money"] else "#,##0.###"

    def figure(text: str) -> str:
        return f"{format_decimal(Decimal(text), places, locale=locale)} {unit}"

    def minute(text: str) -> str:
        at = datetime.fromisoformat(text)
        return format_datetime(at, MINUTE_TEXT[language], tzinfo=local, locale=locale)

    thing = " ".join(str(data["item"] or data["account"]).split())
    first, end = (datetime.fromisoformat(data[f"period_{edge}"]) for edge in ("start", "end"))
    days = (first.astimezone(local), (end - MICROSECOND).astimezone(local))
    return {
        "thing": f"{thing}, {data['charge'] or _WORDS[language]['money']}",
        "percent": str(data["percent"]),
        "used": figure(data.get("used", "0")),
        "stands": figure(data.get("stands", "0")),
        "limit": figure(data.get("limit") or data["allowance"]),
        "at": minute(data["reached_at"]) if "reached_at" in data else "",
        "period": " – ".join(format_date(day, "long", locale=locale) for day in days),
        "measured": minute(data["sampled_at"]),
    }


def _share(data: dict[str, Any]) -> int | None:
    """Whole percent of the limit, or None where nothing is used any more."""
    if "used" not in data:
        return None
    return int(Decimal(data["used"]) * 100 / Decimal(data.get("limit") or data["allowance"]))


def _html(
    subject: str, lead: str, rows: list[tuple[str, str]], share: int | None, language: str
) -> str:
    lines = "".join(
        '<tr><td style="padding:4px 16px 4px 0;color:#5f6368;white-space:nowrap">'
        f'{escape(name)}</td><td style="padding:4px 0">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(subject)}</title></head>"
        '<body style="margin:0;background:#f4f5f6">'
        '<div style="max-width:36em;margin:24px auto;padding:24px 28px;background:#fff;'
        "border:1px solid #dadce0;border-radius:6px;"
        'font:15px/1.5 system-ui,Segoe UI,Helvetica,Arial,sans-serif;color:#202124">'
        f'<h1 style="font-size:19px;line-height:1.3;margin:0 0 12px">{escape(subject)}</h1>'
        f'<p style="margin:0 0 16px">{escape(lead)}</p>{_bar(share)}'
        f'<table style="border-collapse:collapse;font-size:14px">{lines}</table>'
        "</div></body></html>\n"
    )


def _bar(share: int | None) -> str:
    if share is None:
        return ""
    colour = _BAR["over" if share >= 100 else "warn" if share >= 80 else "ok"]
    return (
        '<div style="height:14px;background:#e8eaed;border-radius:7px;overflow:hidden">'
        f'<div style="width:{min(100, share)}%;height:14px;background:{colour}"></div></div>'
        f'<p style="margin:4px 0 16px;font-size:13px;color:#5f6368">{share} %</p>'
    )
