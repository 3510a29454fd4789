"""`rackmeter wallet`, `account tax` and `journal`, as a person types them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rackmeter.cli import main as cli
from schemas.errors import ConfigError, RefusedError
from sinks.database import Connection
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of

Run = Callable[..., str]
NUMBER = "RM-2026-000001"


@pytest.fixture
def run(
    billing: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> Run:  # fmt: skip
    """Runs a command line on a ledger with one customer; returns what it prints."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RACKMETER_ACTOR", "ann@desk")
    month_of(billing, 1)

    def run(line: str, code: int = 0) -> str:
        assert cli.run(shlex.split(line)) == code, capsys.readouterr()
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def test_from_a_grant_to_a_loss(run: Run, billing_url: str) -> None:
    grant = "wallet grant acme-0 welcome --amount 10.00 --kind promotional --at 2026-01-02"
    assert run(grant) == "welcome: promotional 10.00 of acme-0 is granted\n"
    assert run(grant) == "welcome: promotional 10.00 of acme-0 is there already\n"
    paid = "wallet grant acme-0 prepaid-1 --amount 20.00 --kind paid --at 2026-01-02"
    assert json.loads(run(f"{paid} --json"))["granted"] is True
    assert close_month(billing_url).exit_code == 0
    since = ["2026-01-02", "00:00+00:00"]
    assert [row.split() for row in run("wallet show acme-0").splitlines()[1:]] == [
        ["prepaid-1", "paid", *since, "0", "20.00", "0.00", "EUR", NUMBER, "20.00"],
        ["welcome", "promotional", *since, "0", "10.00", "0.00", "EUR", NUMBER, "10.00"],
    ]
    listed = run("invoice list").splitlines()[1].split()
    assert listed[6:] == ["40.29", "7.66", "47.95", "27.95", "EUR", "partly", "paid"]
    assert run(f"invoice show {NUMBER}").splitlines()[-2:] == [
        "paid with credit prepaid-1: 20.00",
        "to pay 27.95 EUR",
    ]
    receive = f"journal receive {NUMBER} --amount 20.00 --reference 17/4"
    said = f"{NUMBER} is partly paid, 7.95 EUR open\n"
    assert run(receive) == f"17/4 entered; {said}"
    assert run(receive) == f"17/4 is in the books already; {said}"
    (owes,) = json.loads(run("journal aged --json"))["accounts"]
    assert (owes["account"], owes["total"]) == ("acme-0", "7.95")
    lost = f"journal write-off {NUMBER} --yes --why insolvent"
    assert run(lost) == f"{NUMBER} is written off: 7.95 EUR written off\n"
    assert [row.split()[:2] for row in run("journal trial-balance").splitlines()[1:]] == [
        ["bad_debt", "7.95"],
        ["bank", "40.00"],
        ["promotion", "10.00"],
        ["receivable", "0.00"],
        ["revenue", "-50.29"],
        ["tax", "-7.66"],
        ["wallet", "0.00"],
    ]
    shown = json.loads(run(f"journal show {NUMBER} --json"))
    assert [one["kind"] for one in shown["entries"]] == ["invoice", "draw", "payment", "write-off"]
    assert shown["invoice"]["status"] == "written off"
    assert run(f"journal show {NUMBER}").endswith(f"{NUMBER} is written off: 0.00 EUR open\n")
    assert len(json.loads(run("journal show --account acme-0 --json"))["entries"]) == 5


def test_a_tax_profile_keeps_what_is_not_said(run: Run) -> None:
    first = (
        "account tax set acme-0 --mode reverse-charge --country FR --vat-id 'FR 40 303265045'"
        " --evidence 'VIES 1' --checked 2026-01-31 --from 2026-02-01 --json"
    )
    said = json.loads(run(first))
    assert (said["vat_id"], said["mode"], said["set"]) == ("FR40303265045", "reverse charge", True)
    assert json.loads(run(first))["set"] is False
    moved = json.loads(run("account tax set acme-0 --rounding down --from 2026-03-01 --json"))
    assert (moved["mode"], moved["evidence"]) == ("reverse charge", "VIES 1")
    other = json.loads(
        run("account tax set acme-0 --vat-id FR83404833048 --from 2026-04-01 --json")
    )
    assert (other["evidence"], other["checked_at"]) == ("", None), "it proves another's VAT id"
    told = json.loads(run("account tax show acme-0 --json"))
    assert [one["from"][:10] for one in told["said"] if not one["superseded_at"]] == [
        "2026-02-01", "2026-03-01", "2026-04-01",
    ]  # fmt: skip
    assert "FR83404833048" in run("account tax show acme-0")


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("wallet grant acme-0 x --amount 0 --kind paid", ConfigError, "an amount above nothing"),
        ("wallet grant acme-0 x --amount 1.001 --kind paid", ConfigError, "1.001 EUR is no amount"),
        ("wallet grant acme-0 x --amount 1 --kind free", ConfigError, "promotional or paid"),
        ("wallet grant nobody x --amount 1 --kind paid", RefusedError, "no account nobody"),
        (
            "wallet grant acme-0 x --amount 1 --kind paid --at 2026-03-02 --expires 2026-03-01",
            ConfigError, "would expire before",
        ),
        ("account tax set acme-0 --mode none", ConfigError, "exclusive, inclusive, reverse-charge"),
        (
            "account tax set acme-0 --country FR --vat-id FR40303265046", ConfigError,
            "cannot be one of FR",
        ),
        ("account tax set acme-0 --country FR --vat-id DE136695976", ConfigError, "not one of FR"),
        ("account tax set nobody --mode exclusive", RefusedError, "no account nobody"),
        ("journal show", ConfigError, "either an invoice or --account"),
        ("journal show RM-1", RefusedError, "There is no invoice RM-1"),
        ("journal receive RM-1 --amount 1.00 --reference x", RefusedError, "no invoice RM-1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(run: Run, line: str, error: Any, says: str) -> None:
    assert says in run(line, error.exit_code)
