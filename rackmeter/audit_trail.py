"""The audit trail as a whole: the database's rows, its signed heads and the file of them, together.

Wires what sinks knows of it; the command line prints it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rackmeter.errors import ConfigError
from rackmeter.key_files import load_signer
from rackmeter.settings import Settings
from schemas.serial import SerialError, from_json, to_json
from sinks import audit_heads
from sinks.audit import Act, everything, ledger_id, record, tip
from sinks.audit_chain import Finding, Mark, Verified, verify
from sinks.audit_heads import Head
from sinks.audit_rows import Entered, Link, Row, Said
from sinks.database import Connection

FORMAT: Final = "rackmeter.audit/1"
_DATABASE: Final = "audit_head"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verification found, and what it rested on."""

    verified: Verified
    heads: int
    keys: tuple[str, ...]
    """Public keys that signed."""
    believed: bool
    """They are compared with keys that somebody gave."""
    recovered: tuple[Head, ...]


def verify_database(
    settings: Settings,
    conn: Connection,
    files: Sequence[Path] | None = None,
    public: Sequence[str] | None = None,
) -> Outcome:
    """The whole trail as it is at this moment. Begins with no transaction open and leaves none."""
    believed = _believed(settings, public)
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        ledger, stored = ledger_id(conn), audit_heads.stored(conn)
        heads = _Heads(ledger, believed)
        heads.read(stored, _DATABASE)
        for file in _files(settings, files):
            heads.read_file(file, stored)
        found = verify(everything(conn), ledger, heads.marks, tip(conn))
    return heads.outcome(found)


def verify_export(
    settings: Settings, path: Path, files: Sequence[Path], public: Sequence[str] | None
) -> Outcome:
    """The same of what ``export_lines`` wrote."""
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline())
            if head["format"] != FORMAT:
                raise ConfigError(f"{path} is no export of an audit trail.")
            heads = _Heads(head["ledger"], _believed(settings, public))
            heads.read(head["heads"], str(path))
            for one in files:
                heads.read_file(one, head["heads"])
            found = verify(map(_read, file), head["ledger"], heads.marks, whole=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no export of an audit trail: {error}.") from error
    return heads.outcome(found)


def sign_head(
    settings: Settings, conn: Connection, now: datetime, recovered: str, actor: str
) -> tuple[Outcome, str | None]:
    """Verifies, and signs the chain's end; no line where anything differs.

    1. Verify. With ``recovered`` the heads may know acts that the database has lost, no more.
    2. Append the line to the file. A crash: the file has a head that the database lacks, which is
       as good.
    3. Enter it in the database; with ``recovered`` the act first, which the next head covers.
    """
    signer = load_signer(settings)
    if signer is None:
        raise ConfigError(
            "There is no audit key: `rackmeter audit key --to FILE` makes one, then set"
            " RACKMETER_AUDIT_KEY_FILE."
        )
    done = verify_database(settings, conn)
    if recovered:
        done = _without_marks(settings, conn, done)
    if done.verified.findings:
        return done, None
    found = done.verified
    head = signer.sign(Head(ledger_id(conn), found.number, found.digest, now, recovered))
    conn.rollback()
    line = audit_heads.line(head)
    audit_heads.append(settings.heads, line)
    with conn.transaction():
        audit_heads.store(conn, line)
        if recovered:
            record(conn, Act("audit.recovered", f"audit/{found.number}", at=now, actor=actor,
                             reason=recovered))  # fmt: skip
    return done, line


def export_lines(conn: Connection, *, personal: bool) -> Iterator[str]:
    """First the ledger and its heads, then one act a line; in one moment of the database."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield _line({"format": FORMAT, "ledger": ledger_id(conn),
                     "heads": audit_heads.stored(conn)})  # fmt: skip
        for row in everything(conn):
            kept = row.said is not None and (personal or not row.said.personal)
            yield _line(
                {
                    "act_id": row.act_id,
                    "link": None if row.link is None else to_json(row.link),
                    "act": None if row.act is None else to_json(row.act),
                    "said": _said(row.said) if kept and row.said is not None else None,
                }
            )


class _Heads:
    """Signed heads of several places, and what is wrong with them."""

    def __init__(self, ledger: str, believed: Sequence[str]) -> None:
        self._ledger, self._believed = ledger, believed
        self.marks: list[Mark] = []
        self._findings: list[Finding] = []
        self._lines: list[str] = []

    def read(self, lines: Sequence[str], source: str) -> None:
        marks, findings = audit_heads.marks(lines, self._ledger, self._believed, source)
        self.marks += marks
        self._findings += findings
        self._lines += lines

    def read_file(self, path: Path, stored: Sequence[str]) -> None:
        """A file that lacks what the database has was cut off, or was not there all the time."""
        lines = audit_heads.read(path)
        self.read(lines, str(path))
        if missing := [line for line in stored if line not in set(lines)]:
            self._findings.append(
                Finding(None, f"{path} lacks {len(missing)} of the heads that the database has:"
                        " put its copy in its place")
            )  # fmt: skip

    def outcome(self, found: Verified) -> Outcome:
        found.findings += self._findings
        recovered = audit_heads.recoveries(dict.fromkeys(self._lines))
        keys = tuple(audit_heads.keys_of(self._lines))
        return Outcome(found, len(set(self._lines)), keys, bool(self._believed), tuple(recovered))


def _without_marks(settings: Settings, conn: Connection, done: Outcome) -> Outcome:
    """The chain by itself: what is left of it must be whole, and its tip its end."""
    with conn.transaction():
        found = verify(everything(conn), ledger_id(conn), (), tip(conn))
    return Outcome(found, done.heads, done.keys, done.believed, done.recovered)


def _believed(settings: Settings, public: Sequence[str] | None) -> Sequence[str]:
    if public:
        return public
    signer = load_signer(settings)
    return [] if signer is None else signer.public


def _files(settings: Settings, files: Sequence[Path] | None) -> Sequence[Path]:
    """Those that were named must be there; the one of the settings once something was signed."""
    for path in files or ():
        if not path.is_file():
            raise ConfigError(f"There is no file {path}.")
    return files if files is not None else [settings.heads]


def _line(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _said(said: Said) -> dict[str, Any]:
    return {"account": said.account, "personal": said.personal, "salt": said.salt.hex(),
            "reason": said.reason, "before": said.before, "after": said.after}  # fmt: skip


def _read(text: str) -> Row:
    body = json.loads(text)
    said = body["said"]
    try:
        return Row(
            body["act_id"],
            None if body["link"] is None else from_json(Link, body["link"]),
            None if body["act"] is None else from_json(Entered, body["act"]),
            None if said is None else Said(**{**said, "salt": bytes.fromhex(said["salt"])}),
        )
    except SerialError as error:
        raise ValueError(str(error)) from error
