"""What tests of roles share: databases with their grants, and logins of one role."""

from itertools import count
from uuid import uuid4

from psycopg import sql
from psycopg.conninfo import make_conninfo

from sinks.database import connect
from sinks.roles.logins import make_login, role_named

_numbers = count()


def login_of(url: str, short: str, account: str | None = None) -> str:
    """The address of the same database as a new login of a role."""
    name = f"{short}_{uuid4().hex[:6]}_{next(_numbers)}"
    with connect(url, autocommit=True) as conn:
        make_login(conn, name, role_named(short), "secret", account)
    return make_conninfo(url, user=name, password="secret")


def drop_login(url: str, login: str) -> None:
    """It has nothing that would keep it."""
    with connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))
