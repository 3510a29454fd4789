"""The README of a bundle, in the customer's language. Pure: the same invoice, the same text."""

from collections.abc import Iterable
from typing import Final

from invoicing.bundles.files import HEAD, MANIFEST, READINGS, README, WINDOWS
from invoicing.document import Document

ENGLISH: Final = """\
Invoice {number}
{line}
{seller} → {buyer}, {gross} {currency}

What is here
  {number}.pdf      the invoice; it carries {number}.json
  {number}.json     the whole invoice as data: usage, prices, roundings, digests
  windows.csv       what was metered in each window of five minutes, and by which checkpoint
  readings.csv      the cumulative readings behind it, and where each report stands in Kafka
{head}  manifest.json     the SHA-256 of each file

How to check it
  rackmeter invoice verify {number}.zip
recomputes all of it on your machine, with no access to ours: windows → usage → quantities → lines →
taxes → total, and the page. It names every place that was altered. One line, explained:
  rackmeter invoice explain 1 --file {number}.zip

Columns of windows.csv
  window_start   UTC; the window is five minutes long
  quantity       base units: bytes, milliseconds, MiB-seconds
  covered_ms     of the window, how much was observed
  source         window: finished; late: came afterwards; open: counted while it was still running
  offset         the partition was metered up to here when the row was written
  check          first digits of the SHA-256 of the row before it
A window in which a server changed hands is here whole; how it is split is in the invoice.
Every digit ties to the next: days and totals of the windows are in the sealed invoice.
"""

GERMAN: Final = """\
Rechnung {number}
{line}
{seller} → {buyer}, {gross} {currency}

Was hier liegt
  {number}.pdf      die Rechnung; sie enthält {number}.json
  {number}.json     die ganze Rechnung als Daten: Verbrauch, Preise, Rundungen, Prüfsummen
  windows.csv       was in jedem Fenster von fünf Minuten gemessen wurde
  readings.csv      die Zählerstände dahinter, und wo jede Meldung in Kafka steht
{head}  manifest.json     die SHA-256 jeder Datei

So wird geprüft
  rackmeter invoice verify {number}.zip
berechnet alles auf Ihrem Rechner neu, ohne Zugriff auf unsere Systeme: Fenster → Verbrauch →
Mengen → Positionen → Steuern → Summe, und die Seite. Jede veränderte Stelle wird genannt. Eine
Position erklärt:
  rackmeter invoice explain 1 --file {number}.zip

Spalten von windows.csv
  window_start   UTC; ein Fenster dauert fünf Minuten
  quantity       Grundeinheiten: Bytes, Millisekunden, MiB-Sekunden
  covered_ms     wie viel des Fensters beobachtet wurde
  source         window: abgeschlossen; late: kam später; open: gezählt, als es noch lief
  offset         bis hierher war die Partition ausgewertet, als die Zeile geschrieben wurde
  check          die ersten Stellen der SHA-256 der Zeile davor
Ein Fenster, in dem ein Server den Besitzer wechselte, steht hier ganz; geteilt wird es in der
Rechnung. Jede Ziffer hängt an der nächsten: Tage und Summen stehen in der versiegelten Rechnung.
"""

TEXTS: Final = {"en": ENGLISH, "de": GERMAN}
HEADS: Final = {
    "en": "  audit-head.json   the signed end of the seller's audit trail when this was made\n",
    "de": "  audit-head.json   das signierte Ende des Prüfprotokolls des Verkäufers\n",
}


def readme(document: Document, language: str, names: Iterable[str]) -> bytes:
    """The text for a bundle that holds these files."""
    head = HEADS[language] if HEAD in names else ""
    return TEXTS[language].format(
        number=document.number, line="=" * (9 + len(document.number)), seller=document.seller.name,
        buyer=document.buyer.name, gross=document.totals.gross, currency=document.currency,
        head=head,
    ).encode()  # fmt: skip


def names(document: Document) -> tuple[str, ...]:
    """Files that every bundle of the invoice holds."""
    number = document.number
    return (MANIFEST, README, WINDOWS, READINGS, f"{number}.json", f"{number}.pdf")
