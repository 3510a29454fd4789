"""A document as PDF/A-3b with itself and its Factur-X attached. Same document, same bytes.

No clock, no system font, no file but the template beside this module: fonts come from the typst
wheel, the time stamp from the document.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import typst

from invoicing.document import Document
from invoicing.documents.declare import declared
from invoicing.documents.einvoice import einvoice
from invoicing.documents.view import view

HERE: Final = Path(__file__).parent
"""Where ``invoice.typ`` is, and all that typst can read."""
STANDARD: Final = "a-3b"
"""Archivable, and the part of PDF/A that allows attachments."""
MISSING: Final = re.compile(r"the text `\"(.+?)\"` could not be displayed")
ESCAPED: Final = re.compile(r"\\u\{([0-9a-f]+)\}")
"""How Rust writes a character that is not seen."""
UNSEEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Controls, joiners and marks of direction: a name that brings them must not turn a line around."""
REPLACEMENT: Final = "?"
ROUNDS_MAX: Final = 3
"""A replaced character can only uncover what the same run reported already."""


def pdf(document: Document, attachment: bytes, digest: str, language: str = "en") -> bytes:
    """The PDF; characters that its fonts lack are shown as ``?`` (the attachment has them all)."""
    xml = einvoice(document)
    carried = attachment.decode(), xml.decode() if xml else None
    shown = _mapped(view(document, digest, language), lambda said: UNSEEN.sub("", said))
    made = _shown(document, shown, *carried)
    return declared(made) if xml else made


def source(shown: Any, attachment: str, xml: str | None) -> bytes:
    """What typst compiles: a call of the template, which is parsed once, with a document's texts.

    Through ``sys.inputs`` each document would have a standard library of its own, made and hashed
    anew, and nothing that was laid out before would be found again.
    """
    texts = json.dumps(shown, ensure_ascii=False), attachment, xml
    view_, whole, einvoice_ = ("none" if text is None else _literal(text) for text in texts)
    call = f'#import "invoice.typ": invoice\n#invoice(json(bytes({view_})), {whole}, {einvoice_})'
    return call.encode()


def _literal(text: str) -> str:
    """A string of typst: only a backslash and the closing quote mean something inside."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shown(document: Document, shown: Any, attachment: str, xml: str | None) -> bytes:
    for _ in range(ROUNDS_MAX):
        try:
            return _compile(document, source(shown, attachment, xml))
        except typst.TypstError as error:
            said = "".join(MISSING.findall(error.diagnostic))
            missing = set(ESCAPED.sub(lambda found: chr(int(found[1], 16)), said))
            if not missing:
                raise
            table = str.maketrans(dict.fromkeys(missing, REPLACEMENT))
            shown = _mapped(shown, partial(_translated, table=table))
    return _compile(document, source(shown, attachment, xml))


def _translated(said: str, table: dict[int, str]) -> str:
    return said.translate(table)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Every text of the view changed, wherever it stands."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    return [_mapped(part, change) for part in value] if isinstance(value, list | tuple) else value


@cache
def _compiler() -> typst.Compiler:
    """Once a process: it opens the fonts."""
    return typst.Compiler(root=HERE, ignore_system_fonts=True)


def _compile(document: Document, call: bytes) -> bytes:
    made = _compiler().compile(
        call,
        format="pdf",
        pdf_standards=[STANDARD],
        timestamp=document.issued_at.astimezone(UTC),
    )
    assert isinstance(made, bytes)
    return made
