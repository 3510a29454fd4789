"""What tests of roles share: databases with their grants, and logins of one role."""

from itertools import count
from urllib.parse import urlencode
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict

from sinks.database import connect
from sinks.roles.logins import make_login, role_named

_numbers = count()


def login_of(url: str, short: str, account: str | None = None) -> str:
    """The address of the same database as a new login of a role."""
    name = f"{short}_{uuid4().hex[:6]}_{next(_numbers)}"
    with connect(url, autocommit=True) as conn:
        make_login(conn, name, role_named(short), "secret", account)
    to = conninfo_to_dict(url)
    where = urlencode([(key, str(to[key])) for key in ("host", "port") if key in to])
    return f"postgresql://{name}:secret@/{to['dbname']}?{where}"
