"""A document as PDF/A-3b with itself and its Factur-X attached. Same document, same bytes.

No file, no clock, no system font: the template comes from this package, fonts from the typst wheel,
the time stamp from the document.
"""

import json
import re
from datetime import UTC
from functools import cache
from importlib.resources import files
from typing import Final

import typst

from invoicing.document import Document
from invoicing.documents.declare import declared
from invoicing.documents.einvoice import einvoice
from invoicing.documents.view import view

TEMPLATE: Final = (files("invoicing.documents") / "invoice.typ").read_bytes()
STANDARD: Final = "a-3b"
"""Archivable, and the part of PDF/A that allows attachments."""
MISSING: Final = re.compile(r"the text `\"(.+?)\"` could not be displayed")
REPLACEMENT: Final = "?"
ROUNDS_MAX: Final = 3
"""A replaced character can only uncover what the same run reported already."""


def pdf(document: Document, attachment: bytes, digest: str, language: str = "en") -> bytes:
    """The PDF; characters that its fonts lack are shown as ``?`` (the attachment has them all)."""
    shown = json.dumps(view(document, digest, language), ensure_ascii=False)
    carried = {"document": attachment.decode()}
    if xml := einvoice(document):
        carried["einvoice"] = xml.decode()
    made = _shown(document, shown, carried)
    return declared(made) if xml else made


def _shown(document: Document, shown: str, carried: dict[str, str]) -> bytes:
    for _ in range(ROUNDS_MAX):
        try:
            return _compile(document, shown, carried)
        except typst.TypstError as error:
            missing = set("".join(MISSING.findall(error.diagnostic)))
            if not missing:
                raise
            shown = shown.translate({ord(char): REPLACEMENT for char in missing})
    return _compile(document, shown, carried)


@cache
def _compiler() -> typst.Compiler:
    """Once a process: it opens the fonts."""
    return typst.Compiler(ignore_system_fonts=True)


def _compile(document: Document, shown: str, carried: dict[str, str]) -> bytes:
    made = _compiler().compile(
        TEMPLATE,
        format="pdf",
        pdf_standards=[STANDARD],
        sys_inputs={"view": shown, **carried},
        timestamp=document.issued_at.astimezone(UTC),
    )
    assert isinstance(made, bytes)
    return made
