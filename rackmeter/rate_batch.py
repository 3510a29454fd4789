"""What the rater's process does with a batch; apart from the worker, so without its libraries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rackmeter.apart import portable
from sinks.accruals import rate_many
from sinks.database import Connection
from sinks.outbox import Alert
from sinks.watch import due_accounts, look

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a batch."""

    periods: int
    entered: list[tuple[str, tuple[Alert, ...]]]
    """Of a scope or an account."""
    failed: Mapping[str, Exception]


def rate_and_look(conn: Connection, batch: Mapping[str, int]) -> Done:
    """Rates scopes, then looks at the budgets of their accounts; ``batch`` has reading times."""
    sampled_at = {scope: _EPOCH + timedelta(milliseconds=at_ms) for scope, at_ms in batch.items()}
    found = rate_many(conn, sampled_at, datetime.now(UTC))
    entered = [(one.scope.scope, one.entered) for one in found.rated]
    newest: dict[str, datetime] = {}
    for one in found.rated:
        account, at = one.scope.account, sampled_at[one.scope.scope]
        newest[account] = max(newest.get(account, at), at)
    now = datetime.now(UTC)
    due = due_accounts(conn, now, list(newest))
    entered += [(account, look(conn, account, now, newest[account])) for account in due]
    failed = {scope: portable(error) for scope, error in found.failed.items()}
    return Done(len(found.rated), [one for one in entered if one[1]], failed)
