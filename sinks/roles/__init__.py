"""The roles of a ledger's database: made where we may, given exactly what `grants.sql` says.

None of them can log in or owns anything; logins are members of one. Roles belong to the whole
server, grants to one database. Whoever migrates owns the tables and gives the grants.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from schemas.errors import RefusedError

Connection = psycopg.Connection[Any]

ROLES: Final = {
    "rackmeter_writer": "worker with its rater and deliveries, API, dead letters",
    "rackmeter_reader": "reads everything but secrets, of all accounts: Grafana",
    "rackmeter_invoicer": "close, explain and export of invoices",
    "rackmeter_customer": "reads the schema customer, of one account at a time",
}
GRANTS: Final = (files("sinks") / "roles" / "grants.sql").read_text(encoding="utf-8")

Grant = tuple[str, str, str]
"""Role, object, privilege."""

_GIVEN: Final = """
    SELECT g.rolname::text, given.object, given.privilege
    FROM (
        SELECT a.grantee, c.oid::regclass::text AS object, a.privilege_type AS privilege
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
        UNION ALL
        SELECT a.grantee, t.attrelid::regclass || '.' || t.attname, a.privilege_type
        FROM pg_attribute t CROSS JOIN aclexplode(t.attacl) a
        UNION ALL
        SELECT a.grantee, p.oid::regprocedure::text, a.privilege_type
        FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a
        UNION ALL
        SELECT a.grantee, 'schema ' || nspname, a.privilege_type
        FROM pg_namespace CROSS JOIN aclexplode(nspacl) a
        UNION ALL
        SELECT a.grantee, 'database ' || datname, a.privilege_type
        FROM pg_database CROSS JOIN aclexplode(datacl) a WHERE datname = current_database()
        UNION ALL
        SELECT member, polrelid::regclass::text, 'policy ' || polname
        FROM pg_policy CROSS JOIN unnest(polroles) AS member
    ) given
    JOIN pg_roles g ON g.oid = given.grantee
    WHERE g.rolname = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Role:
    """A role as the server has it."""

    name: str
    purpose: str
    exists: bool
    logins: tuple[str, ...]
    """Who logs in with its rights."""


def apply_roles(conn: Connection) -> list[str]:
    """Makes roles and grants in the open transaction; the roles that are missing, or nothing.

    Where one is missing that this login may not make, no grant is given: only the owner works.
    """
    for name in missing_roles(conn):
        try:
            with conn.transaction():
                conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        except (errors.DuplicateObject, errors.UniqueViolation):
            continue  # the migration of another database was quicker
        except errors.InsufficientPrivilege:
            return missing_roles(conn)
    conn.execute(GRANTS.encode())
    return []


def missing_roles(conn: Connection) -> list[str]:
    """Roles that the server does not have."""
    rows = conn.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (list(ROLES),))
    return sorted(ROLES.keys() - {row[0] for row in rows})


def roles(conn: Connection) -> list[Role]:
    """All roles, with their logins."""
    missing = missing_roles(conn)
    rows = conn.execute(
        """
        SELECT r.rolname, l.rolname FROM pg_roles r
        JOIN pg_roles l ON l.rolcanlogin AND NOT l.rolsuper AND pg_has_role(l.oid, r.oid, 'MEMBER')
        WHERE r.rolname = ANY(%s) ORDER BY 2
        """,
        (list(ROLES),),
    ).fetchall()
    logins = {name: tuple(login for role, login in rows if role == name) for name in ROLES}
    return [
        Role(name, purpose, name not in missing, logins[name]) for name, purpose in ROLES.items()
    ]


def differences(conn: Connection) -> tuple[list[Grant], list[Grant]]:
    """Grants that are missing, and those that are too many. Changes nothing."""
    with conn.transaction(force_rollback=True):
        before = _given(conn)
        try:
            conn.execute(GRANTS.encode())
        except errors.InsufficientPrivilege:
            raise RefusedError(
                "Only the owner of the tables can compare the roles' grants: connect as the login"
                " that migrates."
            ) from None
        after = _given(conn)
    return sorted(after - before), sorted(before - after)


def script() -> Iterator[str]:
    """What the server's administrator runs where whoever migrates may not make roles."""
    yield from (f"CREATE ROLE {name} NOLOGIN;  -- {purpose}" for name, purpose in ROLES.items())


def _given(conn: Connection) -> set[Grant]:
    return {(row[0], row[1], row[2]) for row in conn.execute(_GIVEN, (list(ROLES),))}
