"""`rackmeter db roles` and `db login`: who may do what in the database."""

import secrets
import sys
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, DifferenceError

PASSWORD_BYTES = 24
"""192 random bits: nobody guesses it, whatever the server allows a second."""


def add(db: typer.Typer) -> None:
    """Put the verbs below the noun."""
    db.command("roles", epilog=example("db roles", "db roles --sql > roles.sql   # for an admin"))(
        roles
    )
    db.command(
        "login",
        epilog=example(
            "db login grafana --role reader",
            "db login acme_bi --role customer --account acme",
            "db login worker --role writer --stdin < worker.password",
        ),
    )(login)


def roles(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements that an administrator runs.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show the roles, who logs in with them, and which grants differ (exit code 3).

    `rackmeter db migrate` makes both. Where it may not make roles, an administrator runs what
    --sql prints, and migrating once more gives the grants.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.roles import differences, script  # noqa: PLC0415
    from sinks.roles import roles as existing  # noqa: PLC0415

    if sql:
        lines(script())
        return
    with ledger(data_dir) as conn:
        found = existing(conn)
        missing, extra = differences(conn) if all(role.exists for role in found) else ([], [])
    absent = [role.name for role in found if not role.exists]
    if json:
        document({"roles": found, "missing": missing, "extra": extra})
        raise typer.Exit(DifferenceError.exit_code if absent or missing or extra else 0)
    table(
        ("role", "", "logins", "for"),
        [(r.name, "" if r.exists else "MISSING", ", ".join(r.logins), r.purpose) for r in found],
    )
    for word, grants in (("missing", missing), ("extra", extra)):
        for role, what, privilege in grants:
            note(f"{word}: {privilege} on {what} for {role}")
    if absent:
        raise DifferenceError(missing_roles_text(absent))
    if missing or extra:
        raise DifferenceError("Grants differ: `rackmeter db migrate` gives them as they must be.")


def missing_roles_text(names: list[str]) -> str:
    """What to do where the server has no such roles."""
    return (
        f"The server has no role {', '.join(names)}, and whoever migrates may not make it: have an"
        " administrator run what `rackmeter db roles --sql` prints, then migrate again. Until then"
        " only the owner of the tables can use them."
    )


def login(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new login.")],
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="writer, reader, invoicer or customer.")
    ],
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="A customer's: the one it sees, for ever.")
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the password instead of making one.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make a login with the rights of one role. A password that is made here is shown once."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.roles.logins import make_login, role_named  # noqa: PLC0415

    member = role_named(role)
    if account is not None and role != "customer":
        raise ConfigError(f"--account is for --role customer; a {role} sees all accounts.")
    password = sys.stdin.readline().strip() if stdin else secrets.token_urlsafe(PASSWORD_BYTES)
    if not password:
        raise ConfigError("There is no password on stdin.")
    with ledger(data_dir) as conn:
        make_login(conn, name, member, password, account)
    shown = {"login": name, "role": member, "account": account}
    if json:
        document({**shown, "password": None if stdin else password})
        return
    lines([f"login     {name}", f"role      {member}"])
    lines([f"account   {account}"] if account else [])
    lines([] if stdin else [f"password  {password}"])
