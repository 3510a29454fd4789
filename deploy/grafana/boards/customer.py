"""One customer's period: what is used and included, where it is heading, what it costs so far."""

from typing import Final

from deploy.grafana.boards.common import PERCENT_USED, TIME
from deploy.grafana.panels import Board, Column, Panel, Variable

CUSTOMER: Final = Board(
    name="customer",
    title="Customer",
    why="A customer's period to date: allowance, forecast, cost so far, and what was told.",
    span=("now/M", "now/M"),
    variables=(
        Variable("account", "Customer", "variables/account"),
        Variable("period", "Period", "variables/period"),
        Variable("server", "Server", "variables/server", on_time_range=True),
    ),
    panels=(
        Panel(
            "Cost so far", "stat",
            "Before tax, by the same function that prices the invoice, as of the rating beside it.",
            5, 5, sql="customer/cost", text=True,
        ),
        Panel(
            "Rated up to", "stat",
            "Every figure of this page but the five-minute averages is as of this time.",
            7, 5, sql="customer/as_of", columns={"rated up to": TIME, "period ends": TIME},
        ),
        Panel(
            "Allowance used", "bargauge",
            "By item and charge, the fullest first. Past 100 % every unit is charged.",
            12, 5, sql="customer/allowance", unit="percent", decimals=1, steps=PERCENT_USED,
            bounds=(0, 120),
        ),
        Panel(
            "Period to date against the allowance", "timeseries",
            "All items of the customer together, in the billing unit. The forecast goes on as the"
            " period has gone so far.",
            24, 10, sql="customer/progress", bounds=(0, None), decimals=2,
            columns={
                "traffic, TB": Column(color="blue"),
                "traffic, TB included": Column(color="red"),
                "traffic, TB forecast": Column(color="blue", dashed=True),
            },
        ),
        Panel(
            "Charges so far", "table",
            "Quantities in the billing unit. Allowance ends: when, at the rate so far.",
            24, 9, sql="customer/charges",
            columns={"allowance ends": TIME, "as of": TIME, "net": Column(decimals=2)},
        ),
        Panel(
            "95th percentile", "timeseries",
            "Five-minute averages of the chosen server in the time shown. The line leaves out the"
            " highest floor(5 N / 100) of N windows of the greater direction: those are the"
            " bursts.",
            24, 10, sql="customer/p95", unit="bps", bounds=(0, None),
            columns={
                "sent": Column(color="blue"), "received": Column(color="green"),
                "95th percentile": Column(color="red", dashed=True),
                "burst samples": Column(color="orange", points=True),
            },
        ),
        Panel(
            "Alerts of the period", "table",
            "Each threshold is told once. Given up: the receiver refused it, or never answered.",
            12, 8, sql="customer/told",
            columns={"time": TIME, "reading to delivery": Column(unit="s", decimals=1)},
        ),
        Panel(
            "Invoices", "table",
            "`rackmeter invoice explain NUMBER` shows where each line is from.",
            12, 8, sql="customer/invoices",
            columns={
                "issued": TIME, "net": Column(decimals=2), "tax": Column(decimals=2),
                "gross": Column(decimals=2),
            },
        ),
    ),
)  # fmt: skip
