"""Every command that acts leaves its row in the audit trail; `rackmeter audit` shows, signs and
verifies it.

Whoever adds a command says in `rackmeter/cli/acts.py` whether it acts, and if it does, how it is
run, in STEPS: the first test fails until then.
"""

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from rackmeter.cli import main as cli
from rackmeter.cli.acts import ACTS, NO_ACTS
from rackmeter.cli.app import command
from rackmeter.cli.audit_words import summary
from schemas.verdict import Verdict
from sinks.audit import Wanted, newest, tip
from sinks.audit_heads import Signer, new_key, parse_keys
from sinks.database import Connection, connect
from sinks.letters import Wanted as WantedLetters
from sinks.letters import release, whole
from sinks.vault import new_master_key
from tests import vault
from tests.fix_billing import CATALOG, SECRET
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED
from tests.rackmeter.test_cli import every_command
from tests.rackmeter.test_dlq import letter
from tests.sinks.metering import register

Run = Callable[..., Any]
ROOT: Final = Path(__file__).parents[2]

STEPS: Final[list[tuple[str, str]]] = [
    ("catalog apply", "catalog.toml --yes"),
    ("account add", "acme --name Acme --country DE --timezone UTC"),
    ("account mail", "acme --to jane@acme.example --language de"),
    ("account billed", "acme --from 2026-03"),
    ("account webhook", f"acme --url https://acme.example/hooks --secret {SECRET}"),
    ("server add", "ax-1"),
    ("server rotate-key", "ax-1 --again --overlap 0"),
    ("server enroll-token", "ax-2"),
    ("item rent", "web-1 --account acme --plan small --server ax-1 --at 2026-03-01"),
    ("item swap", "web-1 --server ax-2 --at 2026-03-02"),
    ("item resize", "web-1 --plan large --at 2026-03-03"),
    ("item addon add", "web-1 ipv4 --at 2026-03-04"),
    ("item addon drop", "web-1 ipv4 --at 2026-03-05"),
    ("item suspend", "web-1 --kind maintenance --at 2026-03-06"),
    ("item resume", "web-1 --kind maintenance --at 2026-03-07"),
    ("item hand-over", "web-1 --to web-2 --account acme --at 2026-03-08"),
    (
        "account tax set",
        "acme --mode reverse-charge --country FR --vat-id FR40303265045 --evidence VIES-1",
    ),
    (
        "wallet grant",
        "acme prepaid-1 --amount 50.00 --kind paid --at 2026-03-01 --expires 2026-03-31",
    ),
    ("wallet expire", ""),
    ("wallet alert", "acme --below 50.00"),
    ("account budget set", 'acme --limit "500.00 EUR"'),
    ("account budget drop", "1"),
    ("alert resend", "msg_1"),
    ("master-key rewrap", ""),
    ("db login", "LOGIN --role writer"),
    ("db recovered", ""),
    ("item end", "web-2 --at 2026-03-09"),
    ("item reopen", "web-2 --at 2026-03-09"),
    ("item end", "web-2 --at 2026-03-10"),
    ("invoice close", "--month 2026-03 --yes"),
    ("journal receive", "TEST-2026-000001 --amount 1.00 --reference 17/4"),
    ("journal write-off", "TEST-2026-000001 --yes"),
    ("topics drained", "usage.reports --gone --yes"),
    ("account erase", "acme --yes"),
    ("audit sign", "--recovered tried"),
]
"""In an order in which each has something to do."""
ELSEWHERE: Final = {
    "db restore": "tests/rackmeter/test_backup.py",
    "dlq retry": "tests/rackmeter/test_audit_commands.py",
    "invoice reenter": "tests/invoicing/test_outside.py",
    "ledger swap": "tests/rackmeter/test_rebuild.py",
    "payment collect": "tests/payments/test_commands.py",
    "payment method add": "tests/payments/test_commands.py",
    "payment received": "tests/payments/test_commands.py",
    "payment refund": "tests/payments/test_commands.py",
    "payment terminate": "tests/payments/test_commands.py",
    "server revoke-key": "tests/rackmeter/test_audit_commands.py",
}
"""Those that need more than a database, and the test that looks for their row."""


@pytest.fixture
def run(
    billing_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    """Runs a command of one line; returns its document."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RACKMETER_ACTOR", "ann@desk")
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    key = tmp_path / "audit.key"
    key.write_text(new_key() + "\n")
    key.chmod(0o600)
    monkeypatch.setenv("RACKMETER_AUDIT_KEY_FILE", str(key))
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> Any:
        assert cli.run([*shlex.split(line), "--json"]) == code, capsys.readouterr()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def conn(billing: Connection) -> Connection:
    return billing


def test_every_command_is_known_to_act_or_not_to() -> None:
    known = {*ACTS, *NO_ACTS}
    commands = [" ".join(path) for path in every_command(command())]
    unsaid = [
        name for name in commands
        if not {" ".join(name.split()[:n]) for n in (1, 2, 3)} & known
    ]  # fmt: skip
    assert unsaid == [], "say in rackmeter/cli/acts.py what they leave in the audit trail"
    assert [name for name in ACTS if name not in commands] == []
    assert set(ACTS) == {name for name, _ in STEPS} | ELSEWHERE.keys()
    for name, file in ELSEWHERE.items():
        assert f'"{ACTS[name]}"' in (ROOT / file).read_text(), f"{file} does not look for {name}"


def test_each_act_leaves_its_row_with_who_and_why(
    run: Run, conn: Connection, tmp_path: Path, billing_url: str
) -> None:
    prepare(conn, tmp_path)
    for number, (name, rest) in enumerate(STEPS):
        before = tip(conn)[0]
        own = "--why" in helped(name)
        login = f"w{billing_url.rpartition('/')[2].partition('?')[0]}"
        why = f" --why 'because {number}'" if own else ""
        run(f"{name} {rest.replace('LOGIN', login)}{why} --actor ops-{number}")
        rows = newest(conn, Wanted(action=ACTS[name]), 1)
        assert tip(conn)[0] > before, f"`{name}` left no row in the audit trail"
        assert rows, f"`{name}` left no {ACTS[name]}"
        act, said = rows[0].act, rows[0].said
        assert act is not None
        assert act.actor == f"ops-{number}"
        if name != "audit sign":
            assert said is not None
            assert said.reason == f"because {number}"
        if name == "account add":
            after_account(conn)
    done = run("audit verify")
    assert done["findings"] == []
    assert done["keys_known"]
    assert done["recovered"][0]["why"] == "tried"


def prepare(conn: Connection, folder: Path) -> None:
    text = CATALOG.replace(
        "[plan.small]",
        '[addon.ipv4]\nname = "IPv4"\nprice = "1.00 / month"\ntax = "hosting"\n'
        '[plan.large]\nname = "Large server"\nrent = { price = "0.20 / hour", tax = "hosting" }\n'
        "[plan.small]",
    )
    (folder / "catalog.toml").write_text(text)
    ledger.topic(conn, CLOSED)
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
    for server in ("ax-1", "ax-2"):
        ledger.meter(conn, server, "net.tx_bytes", "eth0", 10**9, start, end)
        ledger.settle(conn, server, end + timedelta(minutes=1))


def after_account(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO alert_outbox (alert_id, account_id, period_start, threshold, limit_version,"
        " kind, body, sampled_at, created_at, next_try_at) VALUES ('msg_1', 'acme',"
        " now(), 't', 'v', 'k', '{}', now(), now(), now())"
    )


def helped(name: str) -> set[str]:
    found: Any = command()
    for word in name.split():
        found = found.commands[word]
    return {option for parameter in found.params for option in parameter.opts}


def test_keys_and_letters(run: Run, conn: Connection) -> None:
    """Those whose arguments only their own answers give."""
    kid = run("server add ax-9")["kid"]
    run(f"server revoke-key {kid} --why leaked")
    register(conn, 4)
    letter(conn, 7, Verdict.UNKNOWN_KEY)
    release(conn, whole(conn, WantedLetters(None, None, None, None), 9), 1)
    rows = newest(conn, Wanted(), 2)
    assert [(row.act.action, row.act.subject) for row in rows if row.act] == [
        ("letter.retry", "letter/usage.reports/0/7"), ("server.revoke-key", "server/ax-9"),
    ]  # fmt: skip


def test_a_dry_run_leaves_nothing(run: Run, conn: Connection, tmp_path: Path) -> None:
    prepare(conn, tmp_path)
    run("catalog apply catalog.toml --dry-run")
    assert tip(conn)[0] == 0
    run("catalog apply catalog.toml --yes")
    run("catalog apply catalog.toml --yes")
    assert tip(conn)[0] == 1, "the same again changed nothing"


def test_without_more_the_actor_is_who_the_settings_name(run: Run) -> None:
    run("server add ax-9")
    assert run("audit list")["acts"][0]["actor"] == "ann@desk"


def test_listing_signing_exporting_verifying(run: Run, conn: Connection, tmp_path: Path) -> None:
    for server in ("ax-1", "ax-2", "ax-3"):
        run(f"server add {server} --why 'rack 4'")
    listed = run("audit list --subject server/ax-2")["acts"]
    assert [(a["number"], a["reason"], a["erased"]) for a in listed] == [(2, "rack 4", False)]
    assert run("audit head")["signed"] is None
    head = run("audit sign")
    assert (head["number"], head["recovered"]) == ("3", "")
    heads = tmp_path / "audit-heads.jsonl"
    assert json.loads(heads.read_text())["digest"] == run("audit head")["digest"]
    run("server add ax-4")
    assert run("audit export --to acts.jsonl")["acts"] == 4
    whole = run("audit verify")
    assert (whole["acts"], whole["heads"], whole["findings"]) == (4, 1, [])
    assert run(f"audit verify --export acts.jsonl --heads {heads}")["findings"] == []
    lines = (tmp_path / "acts.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:3]))
    cut = run(f"audit verify --export cut.jsonl --heads {heads}", code=3)
    assert cut["findings"][0]["number"] == 3
    assert "gone from the end" in cut["findings"][0]["what"]


def test_what_was_tampered_with_is_named_and_not_signed(run: Run, conn: Connection) -> None:
    for server in ("ax-1", "ax-2", "ax-3"):
        run(f"server add {server}")
    run("audit sign")
    with conn.transaction():
        conn.execute("ALTER TABLE audit_act DISABLE TRIGGER audit_act_final")
        conn.execute("UPDATE audit_act SET actor = 'bob' WHERE subject = 'server/ax-2'")
        conn.execute("ALTER TABLE audit_act ENABLE ALWAYS TRIGGER audit_act_final")
    found = run("audit verify", code=3)["findings"]
    assert [(one["number"], one["what"]) for one in found] == [
        (2, "act 2 (server.add server/ax-2) was edited")
    ]
    assert run("audit sign", code=3)["findings"] == found
    assert run("audit head")["heads"] == 1


def test_a_database_that_went_back_is_said_and_seen(
    run: Run, conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """The end of the trail is cut off as a restore of an older backup does it."""
    run("server add ax-1")
    run("audit sign")
    run("server add ax-2")
    run("audit sign")
    with connect(billing_url) as owner:
        owner.execute("SET session_replication_role = replica")
        for table in ("audit_act", "audit_link", "audit_said", "audit_head"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        owner.execute("DELETE FROM audit_act WHERE subject = 'server/ax-2'")
        owner.execute("DELETE FROM audit_link WHERE number = 2")
        owner.execute("DELETE FROM audit_said WHERE act_id NOT IN (SELECT act_id FROM audit_act)")
        owner.execute("DELETE FROM audit_head WHERE head_id = 2")
        owner.execute("UPDATE audit_tip SET (number, digest) ="
                      " (SELECT number, digest FROM audit_link)")  # fmt: skip
        for table in ("audit_act", "audit_link", "audit_said", "audit_head"):
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
    found = run("audit verify", code=3)["findings"]
    assert [one["number"] for one in found] == [2]
    run("audit sign", code=3)
    assert run("audit sign --recovered 'the disk was lost'")["number"] == "1"
    done = run("audit verify")
    assert [one["why"] for one in done["recovered"]] == ["the disk was lost"]
    assert done["findings"] == []
    assert run("audit list")["acts"][0]["action"] == "audit.recovered"


def test_heads_of_a_key_that_is_not_ours(run: Run, tmp_path: Path) -> None:
    run("server add ax-1")
    run("audit sign")
    other = Signer(parse_keys(new_key(), "a test")).public[0]
    found = run(f"audit verify --public {other}", code=3)["findings"]
    assert ["not ours" in one["what"] for one in found] == [True, True], "database and file"
    (tmp_path / "audit-heads.jsonl").write_text("")
    found = run("audit verify", code=3)["findings"]
    said = f"{tmp_path / 'audit-heads.jsonl'} lacks 1 of the heads that the database has"
    assert [one["what"] for one in found] == [f"{said}: put its copy in its place"]


def test_a_key_is_made_once(run: Run, tmp_path: Path) -> None:
    made = run("audit key --to new.key")
    assert (tmp_path / "new.key").stat().st_mode & 0o777 == 0o600
    assert Signer(parse_keys((tmp_path / "new.key").read_text(), "f")).public == made["public"]
    run("audit key --to new.key", code=2)
    assert len(run("audit key")["public"]) == 1


def test_what_it_leaves_for_prometheus(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKMETER_METRICS_DIR", str(tmp_path))
    run("server add ax-1")
    run("audit verify")
    assert "rackmeter_audit_acts 1.0" in (tmp_path / "audit.prom").read_text()
    assert not (tmp_path / "audit_success.prom").exists(), "nothing was signed"
    run("audit sign")
    run("audit verify")
    assert "rackmeter_audit_findings 0.0" in (tmp_path / "audit.prom").read_text()
    assert "last_success" in (tmp_path / "audit_success.prom").read_text()


def test_secrets_are_in_no_row(run: Run, conn: Connection) -> None:
    secret = run("server add ax-1")["secret"]
    run("account add acme --name Acme --country DE")
    run(f"account webhook acme --url https://acme.example/h --secret {SECRET}")
    token = run("server enroll-token ax-2")["token"]
    assert new_master_key()
    for text in (secret, SECRET, token, token.partition(".")[2]):
        for table in ("audit_act", "audit_said"):
            found = conn.execute(
                f"SELECT 1 FROM {table} t WHERE strpos(t::text, %s) > 0", (text,)
            ).fetchone()
            assert found is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, {"to": ["a", "b"], "unit": ""}, "to a b"),
        ({"limit": "5", "at": ["80"]}, {"limit": "8", "at": ["80"]}, "limit 5 → 8"),
        ({"limit": "5"}, None, "limit 5 → none"),
        ({}, {"scope": {"a": "1"}}, "scope a=1"),
        (None, {"text": "x" * 80}, f"text {'x' * 54}…"),
        (None, None, ""),
    ],
)
def test_what_changed_in_a_few_words(
    before: dict[str, Any] | None, after: dict[str, Any] | None, said: str
) -> None:
    assert summary({"erased": False, "before": before, "after": after}) == said
    assert summary({"erased": True, "before": before, "after": after}) == "erased"
