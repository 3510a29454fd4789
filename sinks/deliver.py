"""Sends events of the outbox to the customers' webhooks, by the Standard Webhooks rules.

Exactly once for the receiver means: the same `webhook-id` at every try. Between the receiver's 2xx
and our record of it lies a window in which a crash makes us send the event once more; nothing on
this side can close it, the id lets the receiver drop the repetition.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from standardwebhooks.webhooks import Webhook

from schemas.events import webhook_keys
from sinks.database import Connection
from sinks.egress import SendFailedError, TargetRefusedError, post
from sinks.outbox import (
    Claimed,
    claim_due,
    disable_endpoint,
    record_delivered,
    record_failed,
    record_retry,
)

TIMEOUT_S = 15
"""Standard Webhooks asks for 15 to 30; a quarter of the lease."""
RETRY_AFTER_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The Standard Webhooks schedule: ten tries in three days."""
JITTER = 0.2
"""Each delay is lengthened by up to this share, so that a receiver back up is not hit at once."""
GONE = 410


class Outcome(StrEnum):
    """What became of one try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try, for the log: never with the receiver's words."""

    alert_id: str
    attempt: int
    outcome: Outcome
    why: str = ""


def deliver_due(
    conn: Connection,
    clock: Callable[[], datetime],
    *,
    limit: int = 100,
    allow_private: bool = False,
) -> list[Delivery]:
    """Tries events that are due, one after the other, `limit` at most; run several side by side.

    1. Claim one, committed under a lease. A crash here loses nothing: the lease runs out and the
       next one sends it, one attempt poorer.
    2. Send it. A crash here, or before 3 is committed: perhaps the receiver has it; it gets it
       again when the lease has run out, under the same id.
    3. Record what came of it. From here on it is not sent again, or not before its next time.
    """
    done: list[Delivery] = []
    while len(done) < limit:
        claimed = claim_due(conn, clock(), 1)
        if not claimed:
            break
        done.append(deliver(conn, claimed[0], clock, allow_private=allow_private))
    return done


def deliver(
    conn: Connection, claimed: Claimed, clock: Callable[[], datetime], *, allow_private: bool
) -> Delivery:
    """Steps 2 and 3 for one claimed event."""
    if claimed.url is None or not claimed.secret:
        return _give_up(conn, claimed, "the account has no webhook in force")
    try:
        status = send(claimed.url, claimed, clock(), allow_private=allow_private)
    except (TargetRefusedError, SendFailedError) as error:
        return _later(conn, claimed, clock(), str(error))
    except ValueError as error:  # of webhook_keys
        return _give_up(conn, claimed, str(error))
    if 200 <= status < 300:
        record_delivered(conn, claimed, clock())
        return Delivery(claimed.alert_id, claimed.attempt, Outcome.DELIVERED)
    if status == GONE:
        disable_endpoint(conn, claimed, clock())
        return _give_up(conn, claimed, "the receiver answered 410, its webhook is now disabled")
    return _later(conn, claimed, clock(), f"the receiver answered {status}")


def send(url: str, claimed: Claimed, at: datetime, *, allow_private: bool) -> int:
    """POSTs the event, signed with each of the account's secrets: two while one is replaced."""
    text = json.dumps(claimed.body, separators=(",", ":"), ensure_ascii=False)
    keys = webhook_keys(claimed.secret or "")
    signatures = [Webhook(key).sign(claimed.alert_id, at, text) for key in keys]
    headers = {
        "content-type": "application/json",
        "content-length": str(len(text.encode())),
        "user-agent": "rackmeter",
        "webhook-id": claimed.alert_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return post(url, headers, text.encode(), timeout_s=TIMEOUT_S, allow_private=allow_private)


def retry_at(attempt: int, now: datetime, jitter: float) -> datetime | None:
    """When to try again after the failed `attempt` (from 1); None: that was the last.

    `jitter` is in [0, 1): which part of the greatest lengthening.
    """
    if attempt > len(RETRY_AFTER_S):
        return None
    return now + timedelta(seconds=RETRY_AFTER_S[attempt - 1] * (1 + JITTER * jitter))


def _later(conn: Connection, claimed: Claimed, now: datetime, why: str) -> Delivery:
    next_try_at = retry_at(claimed.attempt, now, random.random())
    if next_try_at is None:
        return _give_up(conn, claimed, f"{claimed.attempt} tries, the last one: {why}")
    record_retry(conn, claimed, next_try_at, why)
    return Delivery(claimed.alert_id, claimed.attempt, Outcome.RETRY, why)


def _give_up(conn: Connection, claimed: Claimed, why: str) -> Delivery:
    record_failed(conn, claimed, why)
    return Delivery(claimed.alert_id, claimed.attempt, Outcome.GIVEN_UP, why)
