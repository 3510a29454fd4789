"""Lists arrive in PostgreSQL as psycopg itself would have written them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from sinks.arrays import write_lists
from sinks.database import Connection

AT = datetime(2026, 2, 1, 12, 30, 0, 250_000, tzinfo=UTC)
NEPAL = timezone(timedelta(hours=5, minutes=45))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text[]", ["a", "", " b ", 'c"d', "e\\f", "g,h", "{i}", "NULL", "null", "ü\n\t'", '\\"']),
        ("text[]", ["one"]),
        ("text[]", []),
        ("text[]", ["a", None, 'b"']),
        ("int[]", [0, -1, 2**31 - 1]),
        ("bigint[]", [2**63 - 1, -(2**63), 7]),
        ("int[]", [1, None]),
        ("numeric[]", [2**70, 1]),
        ("numeric[]", [Decimal("0.10"), Decimal("-1E+3"), None]),
        ("timestamptz[]", [AT, AT.astimezone(NEPAL), datetime(1970, 1, 1, tzinfo=UTC)]),
        ("numeric[]", [Decimal("0.10"), Decimal("-1E+3"), Decimal("1E-20"), Decimal(2**80)]),
        ("timestamptz[]", [AT, None]),
        ("boolean[]", [True, False]),
        ("int[]", [[1, 2], [3, 4]]),
        ("text[]", [["a", "b\\"], ["c", 'd"']]),
    ],
)
def test_a_list_arrives_as_it_is(billing: Connection, kind: str, values: list[Any]) -> None:
    before = billing.execute(f"SELECT %s::{kind}", (values,)).fetchone()
    write_lists(billing)
    after = billing.execute(f"SELECT %s::{kind}", (values,)).fetchone()
    assert after == before == (values,)


def test_text_that_postgresql_cannot_hold_is_refused(billing: Connection) -> None:
    write_lists(billing)
    with pytest.raises(psycopg.DataError, match="NUL"):
        billing.execute("SELECT %s::text[]", (["a", "b\x00c"],))
