"""`rackmeter catalog`: what each verb prints, for people and programs, and how it ends."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from rackmeter.cli import main as cli
from tests import vault
from tests.pipeline.rating.test_price_doc import CATALOG, examples, usage_of
from tests.pipeline.rating.test_price_doc import CONTRACT as AGREED

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
EXAMPLE, CONTRACT, USAGE = (str(FOLDER / f"{n}.toml") for n in ("example", "contract", "usage"))
OLD = Path(EXAMPLE).read_text("utf-8").replace("= 2026-03-01", "= 2024-03-01")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of a command."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["catalog", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def ledger(
    fresh_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A database in which acme has rented the item web for years, in the scope acme."""
    prices = tmp_path / "2026-03.toml"
    prices.write_text(OLD, "utf-8")
    monkeypatch.setenv("RACKMETER_DATABASE_URL", fresh_database)
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    rent = ["item", "rent", "web", "--account", "acme", "--plan", "ax-hourly", "--server", "s-1"]
    for words in (
        ["db", "migrate"],
        ["catalog", "apply", str(prices), "--yes"],
        ["account", "add", "acme", "--name", "Acme GmbH", "--country", "DE"],
        [*rent, "--scope", "acme", "--at", "2024-03-05"],
    ):
        assert cli.run(words) == 0, capsys.readouterr().err
    capsys.readouterr()


def test_a_contract_finds_its_base_beside_it(run: Run, tmp_path: Path) -> None:
    assert run("check", CONTRACT)[0] == 0
    alone = tmp_path / "acme.toml"
    alone.write_text(Path(CONTRACT).read_text("utf-8"), "utf-8")
    code, _, said = run("check", str(alone))
    assert code == 2
    assert "rests on 2026-03, and no catalogue beside it has that version" in said
    assert run("check", str(alone), "--base", EXAMPLE)[0] == 0
    base = Path(EXAMPLE).read_text("utf-8").replace('version = "2026-03"', 'version   ="2026-03"')
    (tmp_path / "2026.toml").write_text(base, "utf-8")
    (tmp_path / "a.toml").write_bytes(b"\xff")
    assert run("check", str(alone))[0] == 0


def test_files_are_compared_without_a_database(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "new.toml"
    text = Path(EXAMPLE).read_text("utf-8")
    other.write_text(text.replace("1.29 / TB", "1.19 / TB", 1), "utf-8")
    code, said, _ = run("diff", EXAMPLE, str(other))
    assert (code, said) == (0, "plan.ax-hourly.traffic\n  price: 1.29 / TB → 1.19 / TB\n")
    assert run("diff", EXAMPLE, EXAMPLE)[1] == "2026-03 and 2026-03 cost the same\n"
    found = json.loads(run("diff", EXAMPLE, str(other), "--json")[1])
    assert found["changes"] == [
        {
            "place": "plan.ax-hourly.traffic",
            "field": "price",
            "before": "1.29 / TB",
            "after": "1.19 / TB",
        }
    ]


def test_a_quotation_needs_two_files(run: Run) -> None:
    code, said, note = run("price", "--catalog", EXAMPLE, "--usage", USAGE, "--json")
    assert (code, note) == (0, "")
    found = json.loads(said)
    assert found["totals"]["gross"] == "2559.76"
    assert found["totals"]["taxes"][0]["base"] == "2151.06"
    [line] = [x for x in found["lines"] if (x["item"], x["charge"]) == ("shop", "traffic")]
    assert line == {
        "kind": "charge",
        "item": "shop",
        "charge": "traffic",
        "name": None,
        "service_period": {
            "from": "2026-10-05T12:30:00+00:00", "until": "2026-10-31T23:00:00+00:00",
        },
        "quantity": "1.750",
        "unit": "TB",
        "price": "1.29",
        "gross": "2.26",
        "discount": "0",
        "net": "2.26",
        "tax_group": "hosting",
        "explain": "1.75 TB used; 1.750 TB × 1.29 = 2.2575, rounded to 2.26",
    }  # fmt: skip


def test_a_quotation_for_people(run: Run, tmp_path: Path) -> None:
    usage = tmp_path / "usage.toml"
    usage.write_text('period = "2026-10"\n[item.web]\nplan = "ax-hourly"\n', "utf-8")
    code, said, note = run("price", "--catalog", CONTRACT, "--usage", str(usage))
    assert code == 0
    assert note == f"{usage}: nothing is said of web net.tx_bytes: counted as none\n"
    rent = next(line for line in said.split("\n") if " rent " in line)
    assert rent.split()[:10] == [
        "web", "rent", "2026-10-01", "00:00", "2026-11-01", "00:00", "745", "hour", "0.0750",
        "4.90",
    ]  # fmt: skip
    [lacking] = [line.split() for line in said.split("\n") if line.startswith("(invoice)")]
    assert lacking[1:3] == ["true-up", "second-half"]
    assert "first-half: true-up" not in said
    assert "tax hosting 19 % of 800.00: 152.00\ngross 952.00 EUR\n" in said


@pytest.mark.parametrize("example", list(examples()), ids=lambda found: str(found["title"]))
def test_the_command_says_what_the_page_says(
    run: Run, tmp_path: Path, example: re.Match[str]
) -> None:
    """The worked examples of docs/price.md: their lines, with credit and before tax."""
    written = {"prices": CATALOG + example["prices"], "usage": usage_of(example)}
    if example["terms"]:
        written["contract"] = AGREED + example["terms"]
    for name, text in written.items():
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")
    catalog = tmp_path / ("contract.toml" if example["terms"] else "prices.toml")
    usage = str(tmp_path / "usage.toml")
    code, said, _ = run("price", "--catalog", str(catalog), "--usage", usage, "--json")
    assert code == 0
    rows = [row.split("|") for row in example["lines"].split("\n")[2:-1]]
    nets = [Decimal(row[4].split()[0]) for row in rows if row[2].strip()]
    assert sum(Decimal(line["net"]) for line in json.loads(said)["lines"]) == sum(nets)


def test_a_mistake_in_a_usage_file_has_its_line(run: Run, tmp_path: Path) -> None:
    usage = tmp_path / "usage.toml"
    usage.write_text('period = "2026-10"\n[item.web]\nplan = "ax"\n', "utf-8")
    code, _, said = run("price", "--catalog", EXAMPLE, "--usage", str(usage))
    assert code == 2
    assert f'{usage}:3: item.web.plan: found "ax"; write one of "ax-hourly"' in said


def test_schemas(run: Run) -> None:
    for kind, name in (("catalogue", "schema"), ("usage", "usage.schema")):
        printed = json.loads(run("schema", kind)[1])
        assert printed == json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert run("schema", "invoice")[0] == 2


@pytest.mark.usefixtures("ledger")
def test_a_dry_run_tells_items_customers_and_the_month(run: Run, tmp_path: Path) -> None:
    new = tmp_path / "2026-05.toml"
    text = OLD
    for old, other in (("2026-03", "2026-05"), ('"keep"', '"at_renewal"'), ('"49.00', '"59.00')):
        text = text.replace(old, other, 1)
    new.write_text(text, "utf-8")
    code, said, _ = run("apply", str(new), "--dry-run")
    assert code == 0
    assert "2026-05: would be published; would be repriced: 1 item of 1 customer\n" in said
    assert "  web of acme, from " in said
    [row] = [line.split() for line in said.split("\n") if line.startswith("acme")]
    assert row == ["acme", "acme", "1", "49.00", "59.00", "+10.00", "EUR"]
    found = json.loads(run("apply", str(new), "--dry-run", "--json")[1])
    assert (found["customers"], found["items"]) == (["acme"], ["web"])
    assert found["effect"][0]["change"] == "10.00"
    assert [c["version"] for c in json.loads(run("show", "--json")[1])["catalogs"]] == ["2026-03"]
    found = json.loads(run("diff", "2026-03", str(new), "--effect", "--json")[1])
    assert found["effect"][0]["after"] == "59.00"
    said = run("diff", "2026-03", str(new), "--effect")[1]
    assert "\nConcerned: 1 item of 1 customer\n  web of acme\n" in said


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(("existing", "told"), [("at_renewal", True), ("keep", False)])
def test_what_a_version_lacks_keeps_its_price_and_is_told(
    run: Run, tmp_path: Path, existing: str, told: bool
) -> None:
    new = tmp_path / "2026-05.toml"
    text = OLD.replace("2026-03", "2026-05", 1).replace("[plan.ax-hourly]", "[plan.ax-new]")
    new.write_text(text.replace('"keep"', f'"{existing}"', 1), "utf-8")
    said = run("apply", str(new), "--dry-run")[1]
    assert ("  web of acme keeps its price: 2026-05 has no plan ax-hourly\n" in said) == told
    found = json.loads(run("apply", str(new), "--dry-run", "--json")[1])
    kept = [{"item": "web", "account": "acme", "plan": "ax-hourly"}] if told else []
    assert (found["items"], found["without_plan"]) == ([], kept)


@pytest.mark.usefixtures("ledger")
def test_a_contract_is_published_once_and_shown(run: Run) -> None:
    # 49.00 less 10 %, less 50.00 a month: what lacks of 500.00 is all of it.
    rows = run("apply", CONTRACT, "--dry-run")[1].split("\n")
    [row] = [line.split() for line in rows if line.startswith("acme ")]
    assert row == ["acme", "acme", "1", "49.00", "500.00", "+451.00", "EUR"]
    said = run("diff", "2026-03", CONTRACT, "--effect")[1]
    assert "discount.loyalty\n  off: new, 10 % of each line\n  charges: new, rent\n" in said
    assert row == next(line.split() for line in said.split("\n") if line.startswith("acme "))
    found = json.loads(run("apply", CONTRACT, "--yes", "--json")[1])
    assert (found["version"], found["items"]) == ("acme-2026", ["web"])
    assert not json.loads(run("apply", CONTRACT, "--yes", "--json")[1])["published"]
    shown = json.loads(run("show", "--json")[1])["catalogs"]
    assert [(c["version"], c["scope"]) for c in shown] == [("2026-03", None), ("acme-2026", "acme")]
    assert run("show", "acme-2026")[1].startswith("#:schema ./contract.schema.json\n")


@pytest.mark.usefixtures("ledger")
def test_what_is_rented_into_a_scope_has_the_prices_of_its_contract(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = tmp_path / "acme.toml"
    text = Path(CONTRACT).read_text("utf-8").replace("= 2026-04-01", "= 2024-04-01")
    contract.write_text(text.replace("until = 2027-04-01", ""), "utf-8")
    assert run("apply", str(contract), "--yes")[0] == 0
    rent = ["item", "rent", "web-2", "--account", "acme", "--plan", "ax-hourly", "--server", "s-2"]
    assert cli.run([*rent, "--scope", "acme", "--at", "2024-05-01"]) == 0
    capsys.readouterr()
    assert cli.run(["invoice", "preview", "acme", "--as-of", "2024-06-02", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert {x["version"] for x in lines if x["item"] == "web-2"} == {"acme-2026"}


@pytest.mark.usefixtures("ledger")
def test_what_is_rented_for_a_time_has_the_contract_of_that_time(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Agreed for years ago or to come: not what is in force while the command is given counts."""
    assert run("apply", CONTRACT, "--yes")[0] == 0
    rent = ["item", "rent", "late", "--account", "acme", "--plan", "ax-hourly", "--server", "s-2"]
    for day, versions in (
        ("2026-03-30", ["2026-03", "acme-2026", "2026-03"]),
        ("2026-04-02", ["acme-2026", "2026-03"]),
        ("2027-05-01", ["2026-03"]),
    ):
        item = f"at-{day}"
        words = [*rent[:2], item, *rent[3:-1], f"s-{day}", "--scope", "acme", "--at", day]
        assert cli.run(words) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert cli.run(["item", "show", item, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        rows = [row for row in shown["prices"] if row["charge"] == "rent"]
        assert [row["version"] for row in rows] == versions, day
