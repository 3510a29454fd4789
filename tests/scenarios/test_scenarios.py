"""Months worked out by hand, priced from their files: line by line what a clerk wrote.

A scenario is a folder: `prices.toml`, `contract.toml`, `usage.toml`, and `invoice.md` with every
figure's arithmetic beside it. Nobody writes the last one with the program.
"""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rackmeter.cli import main as cli
from tests.scenarios.table import WHOLE, Row, rows, sums

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/invoice.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_quotation_is_what_the_clerk_wrote(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--catalog", str(folder / "contract.toml"), "--usage", str(folder / "usage.toml")]
    assert cli.run(["catalog", "price", *files, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    def local(text: str) -> str:
        at = datetime.fromisoformat(text).astimezone(ZoneInfo("Europe/Berlin"))
        return f"{at:%m-%d %H:%M}"

    found = [
        Row(
            line["item"] or WHOLE,
            line["charge"] or line["name"],
            local(line["service_period"]["from"]),
            f"{line['quantity']} {line['unit']}",
            line["price"],
            line["gross"],
            line["discount"],
            line["net"],
        )
        for line in said["lines"]
    ]
    assert found == rows(folder)
    totals = {name: said["totals"][name] for name in ("net", "tax", "gross", "due")}
    assert totals == sums(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_clerk_can_add_up(folder: Path) -> None:
    """The columns of the table agree with each other and with the sum below."""
    expected = rows(folder)
    for row in expected:
        assert Decimal(row.gross) - Decimal(row.discount) == Decimal(row.net), row
    assert sum(Decimal(row.net) for row in expected) == Decimal(sums(folder)["net"])
    assert Decimal(sums(folder)["net"]) + Decimal(sums(folder)["tax"]) == Decimal(
        sums(folder)["gross"]
    )
