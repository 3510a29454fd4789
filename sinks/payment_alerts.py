"""What is told about payments and standing: bodies for the customer, commands for provisioning.

Pure. `data.text` is one English sentence; mails say it in the customer's language
(sinks.payment_words).
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from schemas import events
from schemas.serial import decimal_text, instant_text
from sinks.dunning import StandingRow
from sinks.outbox import Alert
from sinks.payments import Attempt

_PAYMENT: Final = {
    events.PAYMENT_RECEIVED: "{amount} {currency} was paid for {invoice}.",
    events.PAYMENT_FAILED: "{amount} {currency} for {invoice} could not be collected: {reason}.",
    events.PAYMENT_ACTION: "{amount} {currency} for {invoice} needs you: {next}.",
    events.PAYMENT_REFUNDED: "{amount} {currency} of {invoice} was sent back.",
}
_COMMANDS: Final = {
    "restricted": events.PROVISIONING_RESTRICT,
    "suspended": events.PROVISIONING_SUSPEND,
    "terminated": events.PROVISIONING_TERMINATE,
    "current": events.PROVISIONING_RESUME,
}


def payment_alert(
    kind: str, attempt: Attempt, at: datetime, *, amount: Decimal, reference: str = ""
) -> Alert:
    """Something became of an attempt; ``reference`` tells apart what may happen to it twice."""
    data: dict[str, Any] = {
        "account": attempt.account,
        "invoice": attempt.invoice,
        "attempt": attempt.number,
        "amount": decimal_text(amount),
        "currency": attempt.currency,
        "reason": attempt.reason,
        "link": attempt.link,
        "transfer": attempt.reference if attempt.gateway == "transfer" else "",
        "at": instant_text(at),
    }
    following = attempt.link or f"transfer it with the reference {attempt.reference}"
    data["text"] = _PAYMENT[kind].format(**{**data, "next": following})
    threshold = f"payment/{attempt.attempt}" + (f"/{reference}" if reference else "")
    return _alert(attempt.account, attempt.intended_at, threshold, kind, data, at)


def notice(
    row: StandingRow, stand: str, takes_place: datetime, invoice: str, at: datetime
) -> Alert:
    """What will happen to the account, and not before when."""
    data = {
        "account": row.account,
        "state": row.state,
        "next": stand,
        "not_before": instant_text(takes_place),
        "invoice": invoice,
        "at": instant_text(at),
        "text": f"{invoice} is unpaid: {row.account} will be {stand} on {takes_place:%Y-%m-%d}.",
    }
    return _alert(row.account, row.cycle, f"dunning/{stand}", events.DUNNING_NOTICE, data, at)


def changed(row: StandingRow, before: str, because: str, at: datetime) -> Alert:
    """How the account stands from now on."""
    data = {
        "account": row.account,
        "state": row.state,
        "before": before,
        "because": because,
        "at": instant_text(at),
        "text": f"{row.account} is {row.state}: {because}.",
    }
    return _alert(row.account, row.cycle, f"dunning/{row.state}", events.DUNNING_CHANGED, data, at)


def command(row: StandingRow, items: Sequence[str], because: str, at: datetime) -> Alert:
    """What provisioning is to do; `data.at` orders the commands of an account."""
    data = {
        "account": row.account,
        "items": list(items),
        "state": row.state,
        "at": instant_text(at),
        "text": f"{row.account} is {row.state}: {because}.",
    }
    kind = _COMMANDS[row.state]
    return _alert(row.account, row.cycle, f"dunning/{row.state}/command", kind, data, at)


def _alert(
    account: str, of: datetime, threshold: str, kind: str, data: dict[str, Any], at: datetime
) -> Alert:
    body = {"type": kind, "timestamp": instant_text(at), "data": data}
    return Alert(account, "", of, f"{account}/{threshold}", instant_text(of), kind, body, at)
