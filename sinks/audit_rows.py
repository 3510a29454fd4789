"""Rows of the audit trail and what is digested of them. Pure.

An act's digest is SHA-256 over its row in RFC 8785 form; a link's over {act, number, previous}.
What was said stands in the act as HMAC-SHA256 with a key of its own, so that it can be erased: a
digest alone would give away what can be guessed, as a mail address.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.serial import canonical, digest, instant_text

SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Entered:
    """A row of audit_act; ``reason``, ``before`` and ``after`` are keyed digests."""

    act_id: str
    at: datetime
    action: str
    subject: str
    account: str
    actor: str
    login: str
    personal: bool
    reason: str
    before: str
    after: str
    digest: str


@dataclass(frozen=True, slots=True)
class Said:
    """A row of audit_said: what the digests are of, and their key."""

    account: str
    personal: bool
    salt: bytes
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Link:
    """A row of audit_link."""

    number: int
    act_id: str
    act: str
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Row:
    """What there is of one act. None: that part is not there."""

    act_id: str
    link: Link | None
    act: Entered | None
    said: Said | None


def genesis(ledger: str) -> str:
    """What the first link follows: no chain can be put into another ledger."""
    return hashlib.sha256(f"rackmeter.audit/1 {ledger}".encode()).hexdigest()


def keyed(said: Said) -> tuple[str, str, str]:
    """Digests of reason, before and after; empty where there is none."""

    def mac(name: str, value: object) -> str:
        if value is None or value == "":
            return ""
        return hmac.digest(said.salt, canonical({name: value}), "sha256").hex()

    return mac("reason", said.reason), mac("before", said.before), mac("after", said.after)


def entered_digest(act: Entered) -> str:
    """Of everything in the row but the digest itself."""
    return digest(
        {
            "account": act.account, "act_id": act.act_id, "action": act.action,
            "actor": act.actor, "after": act.after, "at": instant_text(act.at),
            "before": act.before, "login": act.login, "personal": act.personal,
            "reason": act.reason, "subject": act.subject,
        }
    )  # fmt: skip


def link_digest(number: int, act: str, previous: str) -> str:
    """As link_audit_act() of 0013_audit.sql computes it."""
    return digest({"act": act, "number": str(number), "previous": previous})
