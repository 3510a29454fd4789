"""Whose clock a day, or a time without an offset, is read by: the customer's that it concerns."""

from schemas.errors import RefusedError
from sinks.database import Connection


def of_account(conn: Connection, account: str) -> str:
    """The time zone of a customer."""
    row = conn.execute("SELECT timezone FROM account WHERE account_id = %s", (account,)).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {account}: see `rackmeter account list`.")
    return str(row[0])


def of_item(conn: Connection, item: str) -> str:
    """The time zone of the customer who rents it."""
    row = conn.execute(
        """
        SELECT timezone FROM item JOIN rating_scope USING (scope_id) JOIN account USING (account_id)
        WHERE item_id = %s
        """,
        (item,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no item {item}.")
    return str(row[0])
