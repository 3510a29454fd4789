"""One rater as a process that a test can kill: rates, looks at budgets and delivers until it is.

python -m tests.sinks.rating_process DATABASE_URL RECEIVER_URL
"""

import sys
from datetime import UTC, datetime, timedelta

from sinks import claims
from sinks.accruals import rate_many
from sinks.database import connect
from sinks.deliver import Provisioning, Ways, deliver_due
from sinks.watch import due_accounts, look
from tests.fix_billing import SECRET
from tests.vault import VAULT

claims.LEASE = timedelta(seconds=1)


def main(url: str, receiver: str) -> None:
    ways = Ways(VAULT, allow_private=True, provisioning=Provisioning(receiver, SECRET))
    with connect(url, autocommit=True) as conn:
        while True:
            now = datetime.now(UTC)
            for rated in rate_many(conn, {"i-1": now, "nobody's": now}, now).rated:
                look(conn, rated.scope.account, now, now)
            for account in due_accounts(conn, now):
                look(conn, account, now, now)
            deliver_due(conn, ways, lambda: datetime.now(UTC))


if __name__ == "__main__":
    main(*sys.argv[1:])
