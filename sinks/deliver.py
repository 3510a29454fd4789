"""Sends what lies in the outbox: webhooks and commands by the Standard Webhooks rules, and mail.

Exactly once for the receiver means: the same `webhook-id` at every try. Between the receiver's 2xx
and our record of it lies a window in which a crash makes us send the event once more; nothing on
this side can close it, the id lets the receiver drop the repetition.
"""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from standardwebhooks.webhooks import Webhook

from schemas.errors import RackmeterError
from schemas.events import webhook_keys
from sinks.claims import (
    Claimed,
    claim_due,
    disable_endpoint,
    record_delivered,
    record_failed,
    record_retry,
)
from sinks.database import Connection
from sinks.egress import SendFailedError, TargetRefusedError, post
from sinks.mail import MailRefusedError, MailServer, message, send_mail
from sinks.mail_words import letter
from sinks.outbox import Channel
from sinks.vault import Vault
from sinks.webhooks import secret_row

TIMEOUT_S = 15
"""Standard Webhooks asks for 15 to 30; half of the lease."""
RETRY_AFTER_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The Standard Webhooks schedule: ten tries in three days."""
JITTER = 0.2
"""Each delay is lengthened by up to this share, so that a receiver back up is not hit at once."""
PARALLEL_MAX = 32
"""Requests under way at once: each is a thread that mostly waits. Four slow receivers' worth."""
GONE = 410
DEAD = timedelta(days=3)
"""A webhook that took nothing for as long as the schedule goes on is disabled, like one gone."""


@dataclass(frozen=True, slots=True)
class Provisioning:
    """The provider's own endpoint for commands; the operator chose it, so it may be private."""

    url: str
    secrets: str
    """As for a webhook: one, or two with a space between while one replaces the other."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What each channel needs. Where one has nothing, its rows wait for somebody to mend it."""

    vault: Vault
    allow_private: bool = False
    mail: MailServer | None = None
    provisioning: Provisioning | None = None


class Outcome(StrEnum):
    """What became of one try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try, for the log: never with the receiver's words."""

    alert_id: str
    attempt: int
    outcome: Outcome
    why: str = ""
    channel: Channel = Channel.WEBHOOK


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of sending: done, or why not."""

    at: datetime
    why: str = ""
    """Empty: it was taken."""
    hopeless: bool = False
    gone: bool = False


class Courier:
    """Sends what is due, several at a time. What is under way goes on between its turns, so the
    slow hold up nobody; `landed` is called, from a thread of its own, when a try has ended.

    1. Claim, committed under a lease. A crash here loses nothing: the lease runs out and the next
       one sends the event, one attempt poorer.
    2. Send. A crash here, or before 3 is committed: perhaps the receiver has it; it gets it again
       when the lease has run out, under the same id.
    3. Record what came of it. From here on it is not sent again, or not before its next time.
    """

    def __init__(
        self, ways: Ways, clock: Callable[[], datetime], landed: Callable[[], None] = lambda: None
    ) -> None:
        self._ways, self._clock, self._landed = ways, clock, landed
        self._pool = ThreadPoolExecutor(PARALLEL_MAX, thread_name_prefix="webhook")
        self._flying: dict[Future[_Answer], Claimed] = {}

    @property
    def flying(self) -> int:
        """Tries under way."""
        return len(self._flying)

    def turn(self, conn: Connection, limit: int = PARALLEL_MAX) -> list[Delivery]:
        """Records the tries that have ended and begins up to `limit` others; waits for none."""
        ended = [future for future in self._flying if future.done()]
        done = _record_all(conn, [(self._flying[each], each.result()) for each in ended])  # 3
        for future in ended:
            del self._flying[future]
        room = min(PARALLEL_MAX - len(self._flying), limit)
        flying = self._flying.values()
        for claimed in claim_due(conn, self._clock(), room, flying) if room > 0 else ():  # 1
            future = self._pool.submit(_try, self._ways, claimed, self._clock)  # 2
            self._flying[future] = claimed
            future.add_done_callback(lambda _: self._landed())
        return done

    def wait(self) -> None:
        """Until one of those under way has ended."""
        wait(self._flying, return_when=FIRST_COMPLETED)

    def close(self) -> None:
        """Waits for those under way, which stay unrecorded: they are sent again."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def deliver_due(
    conn: Connection,
    ways: Ways,
    clock: Callable[[], datetime],
    *,
    limit: int = 100,
) -> list[Delivery]:
    """Tries the events that are due, `limit` at most, and waits for them."""
    courier, done = Courier(ways, clock), list[Delivery]()
    try:
        while True:
            done += courier.turn(conn, limit - len(done) - courier.flying)
            if not courier.flying:
                return done
            courier.wait()
    finally:
        courier.close()


def _try(ways: Ways, claimed: Claimed, clock: Callable[[], datetime]) -> _Answer:
    """Step 2: no database here, so that it can run beside others."""
    try:
        match claimed.channel:
            case Channel.MAIL:
                return _mail(ways, claimed, clock)
            case Channel.COMMAND:
                return _command(ways, claimed, clock)
            case Channel.WEBHOOK:
                return _webhook(ways, claimed, clock)
    except (TargetRefusedError, SendFailedError, RackmeterError) as error:
        return _Answer(clock(), str(error))
    except (ValueError, MailRefusedError) as error:  # ValueError: of webhook_keys, or an address
        return _Answer(clock(), str(error), hopeless=True)
    except Exception as error:  # of ours: it must not keep everything else from being sent
        return _Answer(clock(), f"it cannot be sent: {type(error).__name__}")


def _webhook(ways: Ways, claimed: Claimed, clock: Callable[[], datetime]) -> _Answer:
    if claimed.url is None or claimed.secret is None:
        return _Answer(clock(), "the account has no webhook in force", hopeless=True)
    secrets = ways.vault.decrypt(claimed.secret, secret_row(claimed.account)).decode()
    keys = webhook_keys(secrets)
    status = send(claimed.url, claimed, keys, clock(), allow_private=ways.allow_private)
    return _said(status, clock())


def _command(ways: Ways, claimed: Claimed, clock: Callable[[], datetime]) -> _Answer:
    if ways.provisioning is None:
        return _Answer(clock(), "RACKMETER_PROVISIONING_URL is not set")
    keys = webhook_keys(ways.provisioning.secrets)
    status = send(ways.provisioning.url, claimed, keys, clock(), allow_private=True)
    return _said(status, clock(), "provisioning")


def _mail(ways: Ways, claimed: Claimed, clock: Callable[[], datetime]) -> _Answer:
    if ways.mail is None:
        return _Answer(clock(), "RACKMETER_SMTP_HOST is not set")
    words = letter(claimed.body, claimed.language, claimed.timezone)
    mail = message(ways.mail.sender, claimed.address, words, claimed.alert_id, clock())
    send_mail(ways.mail, mail)
    return _Answer(clock())


def _said(status: int, at: datetime, who: str = "the receiver") -> _Answer:
    if 200 <= status < 300:
        return _Answer(at)
    return _Answer(at, f"{who} answered {status}", gone=status == GONE)


def _record_all(conn: Connection, answers: Sequence[tuple[Claimed, _Answer]]) -> list[Delivery]:
    """Step 3: what was taken in one statement."""
    taken = [(claimed, answer.at) for claimed, answer in answers if not answer.why]
    if taken:
        record_delivered(conn, taken)
    done = [_done(claimed, Outcome.DELIVERED) for claimed, _ in taken]
    return done + [_record(conn, claimed, answer) for claimed, answer in answers if answer.why]


def _record(conn: Connection, claimed: Claimed, answer: _Answer) -> Delivery:
    """A try that failed."""
    webhook = claimed.channel is Channel.WEBHOOK
    if answer.gone and webhook:
        disable_endpoint(conn, claimed, answer.at)
        return _give_up(conn, claimed, "the receiver answered 410, its webhook is now disabled")
    if answer.hopeless:
        return _give_up(conn, claimed, answer.why)
    next_try_at = retry_at(claimed.attempt, answer.at, random.random())
    if next_try_at is None:
        dead = webhook and disable_endpoint(conn, claimed, answer.at, answer.at - DEAD)
        end = "; nothing was taken for days, the webhook is now disabled" if dead else ""
        return _give_up(conn, claimed, f"{claimed.attempt} tries, the last one: {answer.why}{end}")
    record_retry(conn, claimed, next_try_at, answer.why)
    return _done(claimed, Outcome.RETRY, answer.why)


def send(
    url: str, claimed: Claimed, keys: Sequence[bytes], at: datetime, *, allow_private: bool
) -> int:
    """POSTs the event, signed with each of the keys: two while one is replaced."""
    text = json.dumps(claimed.body, separators=(",", ":"), ensure_ascii=False)
    signatures = [Webhook(key).sign(claimed.alert_id, at, text) for key in keys]
    headers = {
        "content-type": "application/json",
        "content-length": str(len(text.encode())),
        "user-agent": "rackmeter",
        "idempotency-key": claimed.alert_id,
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


def _give_up(conn: Connection, claimed: Claimed, why: str) -> Delivery:
    record_failed(conn, claimed, why)
    return _done(claimed, Outcome.GIVEN_UP, why)


def _done(claimed: Claimed, outcome: Outcome, why: str = "") -> Delivery:
    return Delivery(claimed.alert_id, claimed.attempt, outcome, why, claimed.channel)
