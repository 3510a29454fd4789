"""Readings in, invoice out: golden files."""

from pathlib import Path

import pytest

from tests.invoicing.scenario import FOLDER, play


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_invoices_are_those_of_the_scenario(path: Path, billing_url: str) -> None:
    said, expected = play(billing_url, path.read_text())
    assert said == expected
