"""What leaves rackmeter: outgoing events, their secrets, and the hint that usage has changed.

A hint carries no figures: it may be lost or repeated, the truth is the ledger.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

HINT_VERSION = 2

THRESHOLD_CROSSED = "usage.threshold.crossed"
"""A customer's usage has reached a share of the allowance. Once per threshold, period and limit."""
THRESHOLD_CLEARED = "usage.threshold.cleared"
"""A crossing that was announced holds no longer; its data says why: pipeline.budgets.Because."""

THRESHOLD_FORECAST = "usage.threshold.forecast"
"""At the rate of the last hour a budget will be reached soon. Once per period and limit."""
PROVISIONING_SUSPEND = "provisioning.suspend"
"""To the provider's own provisioning: an account has reached its cap."""
PROVISIONING_RESUME = "provisioning.resume"
"""The cap holds no longer: it was raised or ended, corrected, or a new month has begun."""
PROVISIONING_RESTRICT = "provisioning.restrict"
"""An account is late with its bills: nothing new is rented to it; what it has runs on."""
PROVISIONING_TERMINATE = "provisioning.terminate"
"""A person has ended what an account has; deleting is for whoever provisions to confirm."""

PAYMENT_RECEIVED = "payment.received"
PAYMENT_FAILED = "payment.failed"
PAYMENT_ACTION = "payment.action_required"
"""The customer goes on at a link, as for 3-D Secure, or transfers the money."""
PAYMENT_REFUNDED = "payment.refunded"
WALLET_LOW = "wallet.low"
"""What was paid ahead, less what is not invoiced yet, is below the account's threshold."""
WALLET_RESTORED = "wallet.restored"
"""It is not any more: more was paid, or a correction or a new threshold has taken effect."""
DUNNING_NOTICE = "dunning.notice"
"""What will happen to the account, and when, unless it pays."""
DUNNING_CHANGED = "dunning.changed"
"""How the account stands from now on."""

KEY_PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""Standard Webhooks, "Signature scheme": 24 to 64 random bytes."""
_WRITE = f'make one with: echo "{KEY_PREFIX}$(openssl rand -base64 32)"'


def webhook_keys(secrets: str) -> list[bytes]:
    """Keys of an account's secrets: one, or two with a space between while one replaces the other.

    Raises ValueError on anything that is not `whsec_` and base64 of 24 to 64 bytes.
    """
    found = [_webhook_key(secret) for secret in secrets.split()]
    if not found:
        raise ValueError(f"a webhook secret is missing; {_WRITE}")
    return found


def _webhook_key(secret: str) -> bytes:
    if not secret.startswith(KEY_PREFIX):
        raise ValueError(f"a webhook secret begins with {KEY_PREFIX}; {_WRITE}")
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except ValueError:
        raise ValueError(
            f"a webhook secret is base64 after {KEY_PREFIX}, and this is none; {_WRITE}"
        ) from None
    if len(key) not in KEY_BYTES:
        raise ValueError(f"a webhook secret is 24 to 64 bytes in base64, not {len(key)}; {_WRITE}")
    return key


@dataclass(frozen=True, slots=True)
class Changed:
    """Usage of a rating scope has changed: look at it again."""

    scope: str
    append_ms: int
    """When the newest report behind the change was appended to its topic."""
    at_ms: int
    """When that report was read on the server: the start of an alert's latency."""


def encode_changed(hints: Sequence[Changed]) -> bytes:
    """The value of one message; all hints of a scope go to one partition, so it has one rater."""
    value = {"v": HINT_VERSION, "changed": [[h.scope, h.append_ms, h.at_ms] for h in hints]}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decode_changed(value: bytes) -> list[Changed]:
    """The hints, without those of no version we know: losing one costs a sweep's delay."""
    try:
        found = json.loads(value)
    except ValueError:
        return []
    if not isinstance(found, dict) or found.get("v") != HINT_VERSION:
        return []
    hints = found.get("changed")
    return [Changed(*hint) for hint in hints if _is_hint(hint)] if isinstance(hints, list) else []


def _is_hint(found: object) -> bool:
    return isinstance(found, list) and list(map(type, found)) == [str, int, int]
