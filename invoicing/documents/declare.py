"""Says in a PDF's metadata that it carries a Factur-X invoice, as PDF/A wants it said. Pure.

typst writes no XMP of others, so its packet is written once more with the properties and their
schema, as an incremental update (ISO 32000-1, 7.5.6): the bytes of typst stay as they are.
"""

import re
from typing import Final

NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
PROPERTIES: Final = {
    "DocumentType": ("INVOICE", "INVOICE or another type of document"),
    "DocumentFileName": ("factur-x.xml", "name of the embedded XML file"),
    "Version": ("1.0", "version of the XML schema"),
    "ConformanceLevel": ("EN 16931", "profile of the XML"),
}
"""Name → (value, description), Factur-X 1.0, chapter 6.2.2; a credit note is an INVOICE too."""
STREAM: Final = re.compile(
    rb"\n(\d+) 0 obj\n<</Length \d+/Type/Metadata/Subtype/XML>>\nstream\n(.*?)\nendstream",
    re.DOTALL,
)
TRAILER: Final = re.compile(
    rb"trailer\n<</Size (\d+)(/Root \d+ 0 R/Info \d+ 0 R/ID\[.*?\])>>\n"
    rb"startxref\n(\d+)\n%%EOF\s*\Z",
    re.DOTALL,
)
SCHEMAS_END: Final = b"</rdf:Bag></pdfaExtension:schemas>"
DESCRIPTION_END: Final = b"</rdf:Description></rdf:RDF>"


def declared(pdf: bytes) -> bytes:
    """The PDF with the metadata of Factur-X. ValueError where it is not as typst writes it."""
    found, trailer = STREAM.search(pdf), TRAILER.search(pdf)
    if not found or not trailer:
        raise ValueError("no metadata found to add to: typst writes its PDFs in another way")
    packet = _packet(found[2])
    number, size, rest, before = int(found[1]), *trailer.groups()
    base = pdf if pdf.endswith(b"\n") else pdf + b"\n"
    head = b"<</Length %d/Type/Metadata/Subtype/XML>>" % len(packet)
    stream = b"%d 0 obj\n%s\nstream\n%s\nendstream\nendobj\n" % (number, head, packet)
    table = b"xref\n%d 1\n%010d 00000 n \n" % (number, len(base))
    end = b"trailer\n<</Size %s/Prev %s%s>>\nstartxref\n%d\n%%%%EOF\n" % (
        size, before, rest, len(base) + len(stream),
    )  # fmt: skip
    return base + stream + table + end


def _packet(known: bytes) -> bytes:
    """typst's own packet with one more schema and its values."""
    if known.count(SCHEMAS_END) != 1 or known.count(DESCRIPTION_END) != 1:
        raise ValueError("no place in the metadata for Factur-X: typst writes it in another way")
    values = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in PROPERTIES.items())
    described = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name>"
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        "<pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{what}</pdfaProperty:description></rdf:li>"
        for name, (_, what) in PROPERTIES.items()
    )
    schema = (
        '<rdf:li rdf:parseType="Resource">'
        "<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>"
        f"<pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI>"
        "<pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{described}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )
    more = f'<rdf:Description rdf:about="" xmlns:fx="{NAMESPACE}">{values}</rdf:Description>'
    return known.replace(SCHEMAS_END, schema.encode() + SCHEMAS_END).replace(
        DESCRIPTION_END, b"</rdf:Description>" + more.encode() + b"</rdf:RDF>"
    )
