"""What was agreed for a rating scope beyond prices: discounts and commitments of its contracts."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg.types.json import Jsonb

from pipeline.contract import Contract
from schemas.billing import Span
from schemas.serial import from_json, to_json
from schemas.terms import Commitment, Discount
from sinks.database import Connection

Terms = tuple[tuple[Discount, ...], tuple[Commitment, ...]]


def terms_of(
    conn: Connection, scopes: Sequence[str], known_at: datetime | None = None
) -> dict[str, Terms]:
    """The terms of every contract of the scopes, each as long as its contract holds.

    As they are, or as was known at an instant.
    """
    rows = conn.execute(
        """
        SELECT scope_id, lower(valid), upper(valid), discounts, commitments
        FROM contract_known(coalesce(%s, 'infinity'::timestamptz))
        WHERE scope_id = ANY(%s) ORDER BY scope_id, lower(valid)
        """,
        (known_at, list(scopes)),
    ).fetchall()
    discounts: dict[str, list[Discount]] = defaultdict(list)
    commitments: dict[str, list[Commitment]] = defaultdict(list)
    for scope, low, high, less, least in rows:
        for discount in from_json(tuple[Discount, ...], less):
            if span := discount.valid.inside(Span(low, high)):
                discounts[scope].append(replace(discount, valid=span))
        for commitment in from_json(tuple[Commitment, ...], least):
            if span := commitment.valid.inside(Span(low, high)):
                commitments[scope].append(replace(commitment, valid=span))
    found = {row[0] for row in rows}
    return {scope: (tuple(discounts[scope]), tuple(commitments[scope])) for scope in found}


@dataclass(frozen=True, slots=True)
class Committed:
    """A scope that pays a minimum at some time."""

    scope: str
    account: str
    currency: str
    timezone: str
    commitments: tuple[Commitment, ...]


def committed_scopes(conn: Connection, accounts: Collection[str] | None) -> Iterator[Committed]:
    """Every scope that was ever committed, of all or some accounts, by name."""
    rows = conn.execute(
        """
        SELECT DISTINCT scope_id, s.account_id, a.currency, a.timezone
        FROM contract c JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id)
        WHERE c.commitments <> '[]' AND (%s::text[] IS NULL OR s.account_id = ANY(%s)) ORDER BY 1
        """,
        (None if accounts is None else list(accounts), list(accounts or ())),
    ).fetchall()
    agreed = terms_of(conn, [scope for scope, *_ in rows])
    for scope, account, currency, timezone in rows:
        yield Committed(scope, account, currency, timezone, agreed[scope][1])


def agree(conn: Connection, contract: Contract, at: datetime) -> None:
    """The contract holds for its scope from its start on; the one before ends there."""
    catalog = contract.catalog
    assert catalog.then is not None
    conn.execute(
        """
        INSERT INTO contract (version, base, scope_id, valid, discounts, commitments, entered_at)
        VALUES (%s, %s, %s, tstzrange(%s, %s, '[)'), %s, %s, %s)
        """,
        (
            catalog.version,
            catalog.then.version,
            contract.scope,
            contract.valid.start,
            contract.valid.end,
            Jsonb(to_json(contract.discounts)),
            Jsonb(to_json(contract.commitments)),
            at,
        ),
    )


def agreed_of(conn: Connection, scopes: Collection[str]) -> dict[str, dict[str, Span]]:
    """By scope, from when to when each of its contracts holds, by version."""
    rows = conn.execute(
        "SELECT scope_id, version, lower(valid), upper(valid) FROM contract_known()"
        " WHERE scope_id = ANY(%s)",
        (list(scopes),),
    ).fetchall()
    found: defaultdict[str, dict[str, Span]] = defaultdict(dict)
    for scope, version, low, high in rows:
        found[scope][version] = Span(low, high)
    return found
