"""Published versions: the files of catalogues and contracts as they were applied, for good."""

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256

from pipeline.catalog import Catalog, load
from pipeline.contract import Contract, base_of, is_contract, load_contract
from pipeline.periods import zone
from schemas.errors import ConfigError, RefusedError
from sinks.database import Connection


def published_text(conn: Connection, version: str) -> str | None:
    """The file of a version as it was applied."""
    row = conn.execute("SELECT body FROM catalog_version WHERE version = %s", (version,)).fetchone()
    return None if row is None else str(row[0])


def published(conn: Connection, version: str) -> Catalog | None:
    """A version as it was applied; a contract with what it takes from its base."""
    text = published_text(conn, version)
    if text is None:
        return None
    if not is_contract(text):
        return _load(text, version)
    return read_contract(conn, text, version).catalog


_load, _load_contract = lru_cache(64)(load), lru_cache(64)(load_contract)
"""A published text never changes, and commands read the same few again and again."""


def read_contract(conn: Connection, text: str, name: str) -> Contract:
    """A contract's file with its base, which must be published; its days are its customer's."""
    base = base_of(text, name)
    base_text = published_text(conn, base)
    if base_text is None or is_contract(base_text):
        raise ConfigError(f"{name}: base: {base} is no published catalogue; apply that one first.")
    contract = _load_contract(text, name, base_text)
    row = conn.execute(
        "SELECT timezone FROM rating_scope JOIN account USING (account_id) WHERE scope_id = %s",
        (contract.scope,),
    ).fetchone()
    return contract if row is None else _load_contract(text, name, base_text, row[0])


def publish(conn: Connection, catalog: Catalog, text: str, at: datetime) -> bool:
    """False when exactly this file is published; refuses one that differs."""
    digest = sha256(text.encode()).hexdigest()
    added = conn.execute(
        """
        INSERT INTO catalog_version (version, effective, digest, body, applied_at)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (version) DO NOTHING RETURNING version
        """,
        (catalog.version, catalog.effective, digest, text, at),
    ).fetchone()
    if added:
        with conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO catalog_plan (version, plan, title) VALUES (%s, %s, %s)",
                [(catalog.version, name, plan.title) for name, plan in catalog.plans.items()],
            )
        return True
    stored = conn.execute(
        "SELECT digest FROM catalog_version WHERE version = %s", (catalog.version,)
    ).fetchone()
    if stored is not None and stored[0] != digest:
        raise RefusedError(
            f"Catalogue {catalog.version} is published and this file differs from it:"
            " a published version never changes, give the new one another version."
        )
    return False


def published_in_order(conn: Connection, versions: Collection[str]) -> list[Catalog]:
    """These versions and what contracts among them rest on, older ones first."""
    rows = conn.execute(
        """
        SELECT version FROM catalog_version
        WHERE version = ANY(%(named)s)
           OR version IN (SELECT base FROM contract WHERE version = ANY(%(named)s))
        ORDER BY effective, applied_at, version
        """,
        {"named": list(versions)},
    ).fetchall()
    return [catalog for (name,) in rows if (catalog := published(conn, name)) is not None]


def tax_rates(conn: Connection, entity: str) -> tuple[tuple[date, dict[str, Decimal]], ...]:
    """From which of its days on a seller has which rates, by its catalogues; later ones count."""
    rows = conn.execute(
        """
        SELECT version FROM catalog_version v
        WHERE NOT EXISTS (SELECT FROM contract c WHERE c.version = v.version)
        ORDER BY effective, applied_at, version
        """
    ).fetchall()
    found = (published(conn, name) for (name,) in rows)
    return tuple(
        (one.effective.astimezone(zone(one.seller.timezone)).date(), one.seller.tax)
        for one in found
        if one is not None and one.seller.entity == entity
    )
