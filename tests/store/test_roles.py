"""Roles and what customers see, on TimescaleDB in WebAssembly. Every other server: tests/sinks."""

import psycopg

from sinks.catalogs import apply
from sinks.database import connect, migrate
from sinks.roles import differences
from sinks.timelines import add_account
from tests.fix_billing import START, TX, a_catalog, meter_windows, rent_small


def test_a_customer_there_sees_his_own(wasm_server: str) -> None:
    with psycopg.connect(wasm_server, autocommit=True) as conn:
        conn.execute("ALTER SCHEMA public RENAME TO before_roles")
        conn.execute("CREATE SCHEMA public")
        conn.execute("SET search_path = public, extensions")
    migrate(wasm_server)
    with connect(wasm_server, autocommit=True) as conn:
        assert differences(conn) == ([], [])
        assert conn.execute("SELECT store_backend()").fetchone() == ("timescaledb",)
        apply(conn, *a_catalog(), START)
        for account, quantity in (("acme", 1), ("bolt", 1000)):
            add_account(
                conn, account=account, name=account, country="DE", currency="EUR", timezone="UTC"
            )
            rent_small(conn, f"i-{account}", f"s-{account}", account=account)
            meter_windows(conn, f"s-{account}", {(TX, "eth0"): [quantity] * 24})
        conn.execute("SELECT set_config('rackmeter.account', customer.ticket('acme'), false)")
        conn.execute("SET ROLE rackmeter_customer")
        try:
            for view in ("usage_hour", "usage_day", "usage_month"):
                total = conn.execute(f"SELECT sum(quantity) FROM customer.{view}").fetchone()
                assert total == (24,), view
            assert conn.execute("SELECT item_id FROM customer.item").fetchall() == [("i-acme",)]
        finally:
            conn.execute("RESET ROLE")
            conn.execute("DROP SCHEMA customer CASCADE")
