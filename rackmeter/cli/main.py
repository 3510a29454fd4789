"""Runs one command and turns whatever comes out of it into one sentence and an exit code.

The only place where exceptions become exit codes (schemas.errors holds the table).
"""

import contextlib
import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rackmeter.cli.app import command
from rackmeter.cli.output import document, note
from rackmeter.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    ConfigError,
    DependencyError,
    DifferenceError,
    RackmeterError,
    RefusedError,
)

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = ConfigError.exit_code
_KINDS: Final = {
    ConfigError.exit_code: "configuration",
    DifferenceError.exit_code: "difference",
    DependencyError.exit_code: "dependency",
    RefusedError.exit_code: "refused",
    EXIT_INTERRUPTED: "interrupted",
}
_FULL: Final = (28, 122)  # ENOSPC, EDQUOT


def run(arguments: list[str]) -> int:
    """One command from its arguments; returns its exit code."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    as_json = "--json" in arguments
    try:
        code = command().main(arguments, prog_name="rackmeter", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has what it wanted (`| head`). Python would complain at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except (KeyboardInterrupt, EOFError):
        return _fail(EXIT_INTERRUPTED, "interrupted", as_json)
    except RackmeterError as error:
        return _fail(error.exit_code, _sentence(error), as_json)
    except Exception as error:  # every other way out of here is a traceback
        return _foreign(error, as_json=as_json, debug=debug)
    if code == EXIT_INTERRUPTED:
        return _fail(EXIT_INTERRUPTED, "interrupted", as_json)
    return code if isinstance(code, int) else EXIT_DONE


def _foreign(error: Exception, *, as_json: bool, debug: bool) -> int:
    """An exception of somebody else: a usage error, a full disk, or a bug."""
    message = getattr(error, "format_message", None)
    if message is not None:  # what typer raises for a mistake in the arguments
        return _misused(error, message(), as_json)
    if isinstance(error, OSError) and error.errno in _FULL:
        where = f" {error.filename}" if error.filename else ""
        sentence = f"The disk is full: cannot write{where}; make room, then repeat the command."
        return _fail(DependencyError.exit_code, sentence, as_json)
    if _lost_database(error):
        sentence = f"The database went away: {_first(error)}; try again."
        return _fail(DependencyError.exit_code, sentence, as_json)
    if debug:
        traceback.print_exception(error)
    kind = type(error).__name__
    sentence = f"Something went wrong that rackmeter did not expect ({kind}: {_first(error)})."
    if not debug:
        sentence += f" {_kept(error)}"
    return _fail(EXIT_FAILED, sentence, as_json)


def _lost_database(error: Exception) -> bool:
    """Whether psycopg says so; asked without importing it, as few commands need it."""
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(error, psycopg.OperationalError)


def _misused(error: Exception, message: str, as_json: bool) -> int:
    if not message:  # the person was asked and declined
        return _fail(EXIT_INTERRUPTED, "interrupted", as_json)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "rackmeter"
    if type(error).__name__ == "NoArgsIsHelpError":
        note(message)
        return EXIT_CONFIG
    return _fail(EXIT_CONFIG, f"{message.rstrip('.')}. See `{path} --help`.", as_json)


def _fail(code: int, sentence: str, as_json: bool) -> int:
    with contextlib.suppress(BrokenPipeError):
        note(f"rackmeter: {sentence}")
        if as_json:
            kind = _KINDS.get(code, "failed")
            document({"error": {"exit_code": code, "kind": kind, "message": sentence}})
            sys.stdout.flush()
    return code


def _kept(error: Exception) -> str:
    """Keep the traceback in a file, and say where; if that fails too, say how to see it."""
    from rackmeter.settings import load_settings  # noqa: PLC0415 - may be what is broken

    try:
        folder = load_settings().data_dir / "log"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except (OSError, RackmeterError):
        return "Repeat it with --debug to see where."
    return f"Please report it with {_short(path)}."


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


def _sentence(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _first(error: Exception) -> str:
    return _sentence(error).partition("\n")[0].rstrip(".")
