"""Logins of a ledger's roles: made with a password, once. Nothing keeps the password."""

from typing import Any, Final

import psycopg
from psycopg import errors, sql

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.roles import ROLES

READ_ONLY: Final = ("rackmeter_reader", "rackmeter_customer")
STATEMENT_TIMEOUT: Final = "30s"
"""Of those who write their own queries; a panel that takes longer is wrong."""


def make_login(
    conn: psycopg.Connection[Any], login: str, role: str, password: str, account: str | None
) -> None:
    """A login with the rights of one role, in one transaction; with an account it sees only that.

    The server gets the password's SCRAM verifier, so that no log of statements has the password.
    """
    verifier = conn.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    name, member = sql.Identifier(login), sql.Identifier(role)
    with conn.transaction():
        try:
            conn.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                    name, sql.Literal(verifier.decode()), member
                )
            )
            if account is not None:
                conn.execute("INSERT INTO customer.login VALUES (%s, %s)", (login, account))
        except errors.DuplicateObject:
            raise RefusedError(f"There is a role {login} already: choose another name.") from None
        except errors.InsufficientPrivilege:
            raise RefusedError(
                f"This login of the database may not make others: have an administrator CREATE ROLE"
                f" {login} LOGIN IN ROLE {role}."
            ) from None
        except errors.UndefinedObject:
            raise RefusedError(f"There is no role {role}: run `rackmeter db roles`.") from None
        except errors.ForeignKeyViolation:
            raise RefusedError(f"There is no account {account}.") from None
        if role in READ_ONLY:
            for setting, value in (
                ("default_transaction_read_only", "on"),
                ("statement_timeout", STATEMENT_TIMEOUT),
            ):
                conn.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        name, sql.Identifier(setting), sql.Literal(value)
                    )
                )
        record(conn, Act("login.make", f"login/{login}", account or "", after={"role": role}))


def role_named(short: str) -> str:
    """``reader`` → ``rackmeter_reader``."""
    if f"rackmeter_{short}" not in ROLES:
        names = ", ".join(name.removeprefix("rackmeter_") for name in ROLES)
        raise RefusedError(f"There is no role {short}; there are {names}.")
    return f"rackmeter_{short}"
