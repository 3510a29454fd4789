"""The pictures of docs/invoices.md are what the template draws."""

import pytest

from docs.draw_invoices import FOLDER, pictures


@pytest.mark.parametrize(("name", "drawing"), pictures().items(), ids=list(pictures()))
def test_pictures_are_up_to_date(name: str, drawing: bytes) -> None:
    assert (FOLDER / name).read_bytes() == drawing, "python -m docs.draw_invoices"
