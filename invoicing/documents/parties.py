"""Seller and buyer of an e-invoice: names, addresses, tax numbers. Pure.

An address is free lines here; what looks like post code and town of the European pattern is told
apart, all else stays in its line.
"""

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from invoicing.document import Document

TOWN: Final = re.compile(r"(?:[A-Z]{1,2}-)?(\d{4,6}|\d{3} \d{2}) +(\D.*)")
"""``10115 Berlin``, ``F-75011 Paris``, ``110 00 Praha``."""
LINES: Final = ("ram:LineOne", "ram:LineTwo", "ram:LineThree")
VAT_PREFIX: Final = re.compile(r"[A-Z]{2}")
PLACES: Final = {"EL": "GR", "XI": "GB"}
"""Prefixes of VAT ids that are no country codes of ISO 3166: Greece, Northern Ireland."""


def country_of(vat_id: str) -> str:
    """The country that a VAT id names, or nothing."""
    found = VAT_PREFIX.match(vat_id)
    return PLACES.get(found[0], found[0]) if found else ""


def seller_party(node: ET.Element, document: Document) -> None:
    seller = document.seller
    _add(node, "ram:Name", seller.name)
    _address(node, seller.address, country_of(seller.vat_id))
    _vat(node, seller.vat_id)


def buyer_party(node: ET.Element, document: Document) -> None:
    buyer, profile = document.buyer, document.profile
    _add(node, "ram:ID", buyer.account)
    _add(node, "ram:Name", buyer.name.strip() or buyer.account)
    _address(node, buyer.address, buyer.country)
    _vat(node, buyer.vat_id or profile.vat_id)


def _address(node: ET.Element, lines: Sequence[str], country: str) -> None:
    address = ET.SubElement(node, "ram:PostalTradeAddress")
    towns = [found for line in lines if (found := TOWN.fullmatch(line))]
    town = towns[-1] if towns else None
    rest = [line for line in lines if town is None or line != town[0]]
    if town:
        _add(address, "ram:PostcodeCode", town[1])
    first, more = rest[: len(LINES) - 1], rest[len(LINES) - 1 :]
    for name, line in zip(LINES, [*first, ", ".join(more)] if more else first, strict=False):
        _add(address, name, line)
    if town:
        _add(address, "ram:CityName", town[2])
    _add(address, "ram:CountryID", country)


def _vat(node: ET.Element, vat_id: str) -> None:
    if VAT_PREFIX.match(vat_id):
        registration = ET.SubElement(node, "ram:SpecifiedTaxRegistration")
        ET.SubElement(registration, "ram:ID", schemeID="VA").text = vat_id


def _add(parent: ET.Element, name: str, text: str) -> None:
    if text:
        ET.SubElement(parent, name).text = text
