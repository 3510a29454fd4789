"""The command line: help, exit codes, one JSON document, whatever happens."""

import ast
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from psycopg import OperationalError

from rackmeter import __main__ as start
from rackmeter.cli import main as cli
from rackmeter.cli.app import command
from rackmeter.cli.prices import shipped
from schemas.errors import (
    ConfigError,
    DependencyError,
    DifferenceError,
    RackmeterError,
    RefusedError,
)
from tests import vault

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "deploy" / "catalog" / "demo.toml"
NOWHERE = "127.0.0.1:1"


def rackmeter(
    *arguments: str, input: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A real process, without settings of the person who runs the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RACKMETER_")}
    return subprocess.run(
        [sys.executable, "-m", "rackmeter", *arguments],
        capture_output=True, text=True, check=False, input=input or "", timeout=120,
        env={**clean, **environment}, cwd=ROOT,
    )  # fmt: skip


def every_command(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in node.commands.items():
        if hasattr(child, "commands"):
            yield from every_command(child, (*path, name))
        else:
            yield (*path, name)


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*every_command(command())], ids=" ".join)
def test_every_command_has_help_with_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*path, "--help"]) == 0
    shown = capsys.readouterr()
    assert "example" in shown.out
    assert shown.err == ""


def test_the_main_help_has_the_exit_codes() -> None:
    done = rackmeter("--help")
    assert done.returncode == 0
    for code in ("0  done", "1  fail", "2  usage", "3  a diff", "4  a dep", "5  ref", "130  in"):
        assert code in done.stdout


def test_no_words_is_a_usage_error_with_help() -> None:
    done = rackmeter()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Commands:" in done.stderr


# --- exit codes ---------------------------------------------------------------------------------


class Failing:
    """A command tree that only fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def main(self, *_arguments: Any, **_options: Any) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (RackmeterError("It failed."), 1, "failed"),
        (ConfigError("That is no port."), 2, "configuration"),
        (DifferenceError("1 is not 2."), 3, "difference"),
        (DependencyError("PostgreSQL is away."), 4, "dependency"),
        (RefusedError("The period is open."), 5, "refused"),
        (OSError(28, "No space left on device", "/data/x"), 4, "dependency"),
        (OperationalError("server closed the connection"), 4, "dependency"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_each_failure_has_its_code_and_one_sentence(
    error: BaseException,
    code: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "command", lambda: Failing(error))
    assert cli.run(["anything", "--json"]) == code
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    said = json.loads(shown.out)["error"]
    assert said["exit_code"] == code
    assert said["kind"] == kind
    assert shown.err == f"rackmeter: {said['message']}\n"


def test_a_bug_is_one_sentence_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(cli, "command", lambda: Failing(ZeroDivisionError("division by zero")))
    assert cli.run(["anything"]) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    [kept] = (tmp_path / "log").iterdir()
    assert str(kept) in shown.err
    assert "ZeroDivisionError: division by zero" in kept.read_text()


def test_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "command", lambda: Failing(ZeroDivisionError("division by zero")))
    assert cli.run(["anything", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["demo", "--seed", "x"], "'--seed': Input should be a valid integer"),
        (["invoice", "close", "--json"], "Say which period"),
        (["usage", "show", "ax-001", "--by", "week", "--json"], "it must be one of window, hour"),
        (["demo", "--month", "October"], "October is no month"),
        (["demo", "--month", "2999-01", "--json"], "2999-01 is not over"),
        (["catalog", "check", "/nowhere.toml"], "/nowhere.toml cannot be read"),
        (["server", "add", "a b"], "'a b' is no server id"),
    ],
)
def test_wrong_words_are_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1
    if "--json" in arguments:
        assert said in json.loads(shown.out)["error"]["message"]


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({"RACKMETER_PARTITIONS": "many"}, 2, "RACKMETER_PARTITIONS is 'many'"),
        ({"RACKMETER_DATABASE_URL": f"postgresql://u:secret@{NOWHERE}/x"}, 4, "does not answer"),
    ],
)
def test_a_bad_setting_and_a_missing_server(
    environment: dict[str, str], code: int, said: str
) -> None:
    done = rackmeter("usage", "show", "ax-001", **environment)
    assert done.returncode == code
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_without_a_broker(fresh_database: str) -> None:
    urls = {"RACKMETER_DATABASE_URL": fresh_database, "RACKMETER_KAFKA_BOOTSTRAP": NOWHERE}
    urls |= vault.ENVIRONMENT
    assert rackmeter("db", "migrate", **urls).returncode == 0
    done = rackmeter("run", "worker", **urls)
    assert done.returncode == 4
    assert NOWHERE in done.stderr


def test_no_ledger_in_an_empty_folder(tmp_path: Path) -> None:
    done = rackmeter("invoice", "list", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert f"There is no ledger in {tmp_path}" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_broken_catalogue_names_file_and_line(tmp_path: Path) -> None:
    broken = tmp_path / "prices.toml"
    text = CATALOG.read_text(encoding="utf-8")
    line = text[: text.index("1.29 / TB")].count("\n") + 1
    broken.write_text(text.replace('"1.29 / TB"', "1.29", 1), encoding="utf-8")
    done = rackmeter("catalog", "check", str(broken))
    assert done.returncode == 2
    assert f"{broken}:{line}" in done.stderr


# --- the doctor ---------------------------------------------------------------------------------


def test_the_doctor_finds_what_is_wrong() -> None:
    done = rackmeter(
        "doctor", "--json", RACKMETER_KAFKA_BOOTSTRAP=NOWHERE, RACKMETER_DATA_DIR="/proc/rackmeter"
    )
    assert done.returncode == 4
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["libraries"]["exit_code"] == 0
    assert found["data folder"]["exit_code"] != 0
    assert NOWHERE in found["broker"]["found"]


# --- the embedded servers in the foreground -------------------------------------------------------


@pytest.mark.slow
def test_dev_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "rackmeter", "dev", "--worker", "--data-dir", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as dev:
        try:
            assert dev.stdout is not None
            variables = dict(dev.stdout.readline().rstrip("\n").split("=", 1) for _ in range(3))
            assert variables["RACKMETER_DATA_DIR"] == str(tmp_path)
            deadline = time.monotonic() + 60  # the worker may not have claimed its partitions yet
            while (done := rackmeter("doctor", "--data-dir", str(tmp_path), "--json")).returncode:
                assert time.monotonic() < deadline, done.stdout
            found = {one["check"]: one["found"] for one in json.loads(done.stdout)["findings"]}
            assert variables["RACKMETER_KAFKA_BOOTSTRAP"] in found["broker"]
            assert "at revision" in found["database"]
            done = rackmeter("server", "list", "--data-dir", str(tmp_path))
            assert done.returncode == 0
        finally:
            dev.send_signal(signal.SIGTERM)
        assert dev.wait(30) == 0
    assert not [p for p in psutil.process_iter() if str(tmp_path) in " ".join(_words(p))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), *process.environ().values()]
    except psutil.Error:
        return []


# --- a whole small business ---------------------------------------------------------------------


@pytest.fixture
def business(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs a command on a database of its own; returns its JSON document."""
    monkeypatch.setenv("RACKMETER_DATABASE_URL", fresh_database)
    for name, value in vault.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0) -> Any:
        assert cli.run([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_every_noun_on_a_real_database(business: Callable[..., Any], tmp_path: Path) -> None:
    assert business("db", "migrate")["applied"]
    assert business("db", "migrate")["applied"] == []
    key_file = tmp_path / "ax-001.key"
    added = business("server", "add", "ax-001", "--key-file", str(key_file))
    assert "secret" not in added
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert added["kid"] in key_file.read_text()
    business("server", "add", "ax-002", "--key-file", str(key_file), code=2)
    shown = business("server", "add", "ax-002")
    assert len(bytes.fromhex(shown["secret"])) == 32
    assert [one["kid"] for one in business("server", "list")["servers"]] == [
        added["kid"], shown["kid"],
    ]  # fmt: skip
    assert business("catalog", "apply", str(CATALOG), "--dry-run")["published"]
    assert business("catalog", "show")["catalogs"] == []
    business("catalog", "apply", str(CATALOG), code=2)  # nobody is there to say yes
    assert business("catalog", "apply", str(CATALOG), "--yes")["published"]
    assert not business("catalog", "apply", str(CATALOG), "--yes")["published"]
    [catalog] = business("catalog", "show")["catalogs"]
    assert business("catalog", "show", catalog["version"])["text"].splitlines()
    business("catalog", "show", "nothing", code=5)
    business("account", "add", "alpha", "--name", "Alpha GmbH", "--country", "DE")
    assert business("account", "list")["accounts"][0]["timezone"] == "Europe/Berlin"
    rent = ["item", "rent", "web-1", "--account", "alpha", "--plan", "ax-hourly"]
    rent += ["--server", "ax-001"]
    assert business(*rent, "--at", "2026-10-01")["changed"]
    business(*rent, "--at", "2026-10-02", code=5)
    assert business("invoice", "preview", "web-1", "--as-of", "2026-10-02")["net"] != "0"
    assert business("item", "end", "web-1", "--at", "2026-10-03")["changed"]
    assert business("item", "list")["items"][0]["servers"] == "ax-001"
    assert business("usage", "show", "ax-001")["usage"] == []
    assert business("dlq", "list") == {"counts": {}, "letters": []}
    closed = business("invoice", "close", "--month", "2026-10", "--dry-run", code=5)
    assert closed["parked"][0]["status"] == "waiting"
    assert business("invoice", "list")["invoices"] == []
    business("invoice", "show", "RM-1", code=5)
    business("invoice", "explain", "RM-1/1", code=5)


def test_tables_for_people(fresh_database: str) -> None:
    ledger = {"RACKMETER_DATABASE_URL": fresh_database, **vault.ENVIRONMENT}
    assert rackmeter("db", "migrate", **ledger).returncode == 0
    rackmeter("server", "add", "ax-001", **ledger)
    done = rackmeter("server", "list", **ledger)
    head, row = done.stdout.splitlines()
    assert head.split()[:2] == ["server", "kid"]
    assert row.startswith("ax-001")
    assert done.stderr == ""


# --- the start ----------------------------------------------------------------------------------


def test_an_old_python_is_told_so() -> None:
    assert start.unsupported_python((3, 11, 0)) is None
    sentence = start.unsupported_python((3, 9, 18))
    assert sentence is not None
    assert "this is 3.9.18" in sentence


def test_the_start_parses_on_old_pythons() -> None:
    for file in ("__main__.py", "__init__.py"):
        ast.parse((ROOT / "rackmeter" / file).read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("name", ["python3.8", "python3.9", "python3.10"])
def test_a_real_old_python(name: str) -> None:
    found = shutil.which(name)
    if found is None or subprocess.run([found, "-c", ""], check=False, stderr=-3).returncode:
        pytest.skip(f"no {name} that runs is on the PATH; with pyenv: pyenv install {name[6:]}")
    done = subprocess.run(
        [found, "-m", "rackmeter", "demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_package_that_writes_over_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def owners() -> dict[str, list[str]]:
        return {"agents": ["rackmeter", "openai-agents"], "schemas": ["rackmeter"]}

    assert start.shadowed_room() is None
    monkeypatch.setattr("importlib.metadata.packages_distributions", owners)
    sentence = start.shadowed_room()
    assert sentence is not None
    assert "openai-agents" in sentence


WITHOUT_TYPER = "import sys; sys.modules['typer'] = None; from rackmeter.__main__ import main; "


@pytest.mark.parametrize(
    ("words", "code"), [(["agent", "--help"], 0), (["demo"], 2)], ids=["agent", "demo"]
)
def test_the_base_install_is_the_agent(words: list[str], code: int) -> None:
    program = f"{WITHOUT_TYPER} sys.argv[1:] = {words!r}; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    if code:
        assert "pip install 'rackmeter[server]'" in done.stderr


def test_the_agent_keeps_its_own_arguments() -> None:
    done = rackmeter("agent", "sample", "--json", "--state", "/nonexistent/state")
    assert done.returncode == 0
    assert json.loads(done.stdout)["v"] == 1
    assert rackmeter("agent", "run").returncode == 2


def test_a_reader_that_leaves_is_no_failure() -> None:
    program = f"{sys.executable} -m rackmeter --help | head -1"
    shell = ["bash", "-o", "pipefail", "-c", program]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_typer_exits_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def leave() -> None:
        raise typer.Exit(5)

    monkeypatch.setattr(cli, "command", lambda: typer.main.get_command(app))
    assert cli.run([]) == 5


def test_the_demo_catalogue_travels_with_the_package() -> None:
    assert shipped("demo.toml") == CATALOG.read_text(encoding="utf-8")
