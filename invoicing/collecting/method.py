"""A customer's ways to pay: made known to a gateway, saved on a page of theirs, listed here."""

from invoicing.collecting.attempt import Till
from invoicing.collecting.events import refresh_methods
from invoicing.gateways.protocol import Payer
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.payment_methods import customer_of, keep_customer


def begin_method(till: Till, account: str) -> str:
    """The page where the account saves a way to pay; empty where nothing has to be saved.

    Raises RefusedError for an account that is not there.
    """
    conn, name = till.conn, till.gateway.name
    row = conn.execute(
        "SELECT name, mail_to, currency FROM account WHERE account_id = %s", (account,)
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {account}.")
    payer = Payer(account, row[0], row[1][0] if row[1] else "")
    known = customer_of(conn, account, name) or till.ask(lambda: till.gateway.customer(payer))
    with conn.transaction():
        customer = keep_customer(conn, account, name, known)
        said = {"gateway": name, "customer": customer}
        record(conn, Act("payment.method", f"account/{account}", account, till.clock(), after=said))
    link = till.ask(lambda: till.gateway.method_link(customer, row[2]))
    if not link:
        refresh_methods(till, customer)
    return link
