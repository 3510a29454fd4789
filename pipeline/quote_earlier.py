"""Reads what earlier months have to do with the quoted one. Pure."""

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal

from pipeline.catalog import Catalog
from pipeline.catalog_allow import AMOUNT_OF
from pipeline.catalog_text import Table
from pipeline.catalog_units import AMOUNT, base_units, minor
from schemas.billing import Lot, Spent
from schemas.terms import Commitment

_NET = re.compile(AMOUNT)


def earlier(
    file: Table, catalog: Catalog, commitments: Collection[Commitment], expires_at: datetime
) -> tuple[tuple[Spent, ...], tuple[Lot, ...]]:
    """What a year has come to by commitment, and what is left by pool, to be used in the period."""
    if "earlier" not in file.values:
        return (), ()
    table = file.table("earlier", 'write { spent = { year = "4200.00" }, left = { eu = "5 TB" } }')
    table.only(("spent", "left"))
    spent = tuple(_spent(table, catalog, commitments)) if "spent" in table.values else ()
    left = tuple(_left(table, catalog, expires_at)) if "left" in table.values else ()
    return spent, left


def _spent(table: Table, catalog: Catalog, commitments: Collection[Commitment]) -> Iterator[Spent]:
    spent = table.table("spent", 'write { year = "4200.00" }')
    spent.only([one.name for one in commitments])
    for name in spent.values:
        amount = spent.match(name, _NET, 'write what earlier months came to, net: "4200.00"')
        net = minor(spent, name, amount[1], catalog.seller.currency) if amount else Decimal(0)
        yield Spent(name, net)


def _left(table: Table, catalog: Catalog, expires_at: datetime) -> Iterator[Lot]:
    left = table.table("left", 'write { eu = "5 TB" }')
    left.only(sorted(_pools(catalog)))
    for pool in left.values:
        found = left.match(pool, AMOUNT_OF, 'write what earlier months left of it: "5 TB"')
        unit = catalog.units.get(found[2]) if found else None
        if found and unit is None:
            known = ", ".join(catalog.units)
            left.wrong(pool, f'"{found[2]}" is not in [unit]; known are {known}')
        if found and unit:
            base = base_units(left, pool, found[1], unit)
            yield Lot(f"rollover/{pool}/earlier", f"/{pool}", base, expires_at)


def _pools(catalog: Catalog) -> set[str]:
    charges = (charge for plan in catalog.plans.values() for charge in plan.charges.values())
    return {c.allowance.pool for c in charges if c.allowance and c.allowance.pool}
