"""docs/metering.md shows what the meter does: drawn by it, and each of its laws is a test."""

import re
from pathlib import Path

from docs.draw_metering import FOLDER, drawings
from tests.agents import test_delivery_laws
from tests.pipeline import test_meter_laws
from tests.sinks import test_offline_is_live

PAGE = (Path(__file__).parent.parent / "docs" / "metering.md").read_text(encoding="utf-8")
OTHERS = ("chaos", "credit-note", "dashboard-", "invoice", "payments-")
"""Of a run (docs/recover.md), which no other gives again; of other pages."""
IMAGES = re.findall(r"!\[([^]]*)]\((pictures/[^)]+)\)", PAGE)


def test_every_picture_is_what_the_meter_says_today() -> None:
    """After a change that is meant: python -m docs.draw_metering, and look at them."""
    drawn = [path for path in FOLDER.iterdir() if not path.name.startswith(OTHERS)]
    assert {path: path.read_text(encoding="utf-8") for path in drawn} == drawings()


def test_every_picture_is_shown_with_words_beside_it() -> None:
    assert {path for _, path in IMAGES} == {f"pictures/{path.name}" for path in drawings()}
    assert all(len(words) > 40 for words, _ in IMAGES)


def test_every_law_of_the_page_is_a_test_and_every_test_a_law_of_the_page() -> None:
    named = set(re.findall(r"`(test_[a-z_]+)`", PAGE))
    laws = {*vars(test_delivery_laws), *vars(test_meter_laws), *vars(test_offline_is_live)}
    assert named == {name for name in laws if name.startswith("test_")}
