"""Draws an invoice and a credit note as customers get them.

``python -m docs.draw_invoices`` writes docs/pictures/invoice.png and credit-note.png anew; a test
holds that they are what it would write.
"""

from pathlib import Path
from typing import Final

import typst

from invoicing.digest import sealed
from invoicing.document import Document
from invoicing.documents.render import HERE, source
from invoicing.documents.view import view
from tests.invoicing.test_page_words import EVERYTHING, credit_note

FOLDER: Final = Path(__file__).parent / "pictures"
PPI: Final = 96


def pictures() -> dict[str, bytes]:
    """File name → first page."""
    return {
        "invoice.png": drawn(EVERYTHING, "en"),
        "credit-note.png": drawn(credit_note(), "de"),
    }


def drawn(document: Document, language: str) -> bytes:
    shown = view(document, str(sealed(document)["digest"]), language)
    made = typst.compile(
        source(shown, "", None),
        root=HERE,
        format="png",
        ppi=PPI,
        ignore_system_fonts=True,
    )
    assert isinstance(made, bytes)
    return made


def main() -> None:
    for name, drawing in pictures().items():
        (FOLDER / name).write_bytes(drawing)


if __name__ == "__main__":
    main()
