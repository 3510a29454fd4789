"""The PDF side of verification: the document that it carries, and the page that it shows.

pypdf is imported when a PDF is read: verifying the JSON needs nothing but this package.
"""

import io
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invoicing.document import Document
from invoicing.documents.einvoice import NAME, einvoice, told
from invoicing.documents.render import pdf
from invoicing.documents.words import LANGUAGES
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from pypdf import PdfReader

SUFFIX: Final = ".json"


def attached(content: bytes, path: Path) -> bytes:
    """The one JSON document that the PDF carries."""
    try:
        found = _reader(content).attachments
        bodies = [body for name, body in found.items() if name.endswith(SUFFIX)]
    except ConfigError:
        raise
    except Exception as error:  # pypdf raises all kinds on a broken file
        raise ConfigError(f"{path} cannot be read as a PDF: {error}") from error
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise ConfigError(f"{path} carries no invoice document: it is no PDF of rackmeter.")
    return bytes(bodies[0][0])


def page_findings(
    document: Document, body: bytes, content: bytes, proof: str
) -> Iterator[tuple[str, str]]:
    """(where, sentence) for what page and e-invoice say and the document does not.

    The same document gives the same bytes with the same typst; with another one the words count.
    """
    try:
        theirs = _reader(content)
        expected = pdf(document, body, proof, _language(theirs))
        if expected == content:
            return
        yield from _einvoice(document, theirs)
        yield from _differences(_reader(expected), theirs)
    except Exception as error:  # pypdf raises all kinds on a broken file
        yield "pdf", f"it is damaged: {error}"


def _einvoice(document: Document, theirs: "PdfReader") -> Iterator[tuple[str, str]]:
    """Field by field, against the one that the document gives."""
    expected, found = einvoice(document), theirs.attachments.get(NAME, [])
    if len(found) != (expected is not None):
        yield NAME, f"there are {len(found)} of it, and the document gives {int(bool(expected))}"
    elif expected is not None and found[0] != expected:
        ours, said = told(expected), told(bytes(found[0]))
        fields = [(path, said.get(path), ours.get(path)) for path in {**ours, **said}]
        different = [one for one in fields if one[1] != one[2]]
        for path, one, other in different:
            yield f"{NAME}{path}", f"says {one!r}, the document {other!r}"
        if not different:
            yield NAME, "the file is not the one that this document gives"


def _language(reader: "PdfReader") -> str:
    """In which the page was written."""
    said = str(reader.root_object.get("/Lang", ""))[:2]
    return said if said in LANGUAGES else "en"


def _differences(ours: "PdfReader", theirs: "PdfReader") -> Iterator[tuple[str, str]]:
    if _creator(ours) == _creator(theirs):
        yield "pdf", "the file is not the one that this document gives: something was changed"
    expected, shown = _words(ours), _words(theirs)
    for word in shown - expected:
        yield "page", f"shows {word!r}, which the document does not say there"
    for word in expected - shown:
        yield "page", f"does not show {word!r}, which the document says"


def _words(reader: "PdfReader") -> Counter[str]:
    """How often each word is shown: where lines break may differ between versions of typst."""
    return Counter(word for page in reader.pages for word in page.extract_text().split())


def _reader(content: bytes) -> "PdfReader":
    try:
        from pypdf import PdfReader  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("Reading a PDF needs pypdf; verify the JSON instead.") from error
    # What is wrong with a stranger's file comes back as a finding, not on stderr.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    return PdfReader(io.BytesIO(content))


def _creator(reader: "PdfReader") -> str:
    metadata = reader.metadata
    return str(metadata.creator) if metadata else ""
