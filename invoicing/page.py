"""The PDF side of verification: the document that it carries, and the page that it shows.

pypdf is imported when a PDF is read: verifying the JSON needs nothing but this package.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from invoicing.document import Document
from invoicing.documents.render import pdf
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
    """(where, sentence) for what the page shows and the document does not.

    The same document gives the same bytes with the same typst; with another one the words count.
    """
    expected = pdf(document, body, proof)
    if expected == content:
        return
    ours, theirs = _reader(expected), _reader(content)
    if _creator(ours) == _creator(theirs):
        yield "pdf", "the file is not the one that this document gives: something was changed"
    if len(ours.pages) != len(theirs.pages):
        yield "pdf", f"it has {len(theirs.pages)} pages, the document gives {len(ours.pages)}"
    for number, (one, other) in enumerate(zip(ours.pages, theirs.pages, strict=False), 1):
        lines = set(one.extract_text().splitlines())
        for line in other.extract_text().splitlines():
            if line not in lines:
                yield f"page {number}", f"shows {line!r}, which the document does not say"


def _reader(content: bytes) -> "PdfReader":
    try:
        from pypdf import PdfReader  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("Reading a PDF needs pypdf; verify the JSON instead.") from error
    return PdfReader(io.BytesIO(content))


def _creator(reader: "PdfReader") -> str:
    metadata = reader.metadata
    return str(metadata.creator) if metadata else ""
