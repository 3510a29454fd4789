"""Billing: is the month closed, does everything agree, what did it bring, what is to adjust."""

from typing import Final

from deploy.grafana.boards.common import ACCOUNT, NONE_IS_GOOD, TIME
from deploy.grafana.panels import Board, Column, Panel, Variable

BILLING: Final = Board(
    name="billing",
    title="Billing",
    why="Progress of the close, differences, revenue by charge and month, usage after the seal.",
    variables=(Variable("month", "Month", "variables/month", on_time_range=True),),
    refresh="5m",
    panels=(
        Panel(
            "Close", "stat",
            "Scopes rented in the month, and those that are sealed.",
            24, 4, sql="billing/progress", steps=((None, "text"),),
            columns={"closed": Column(unit="percent", decimals=1), "open": Column(color="orange")},
        ),
        Panel(
            "What the last close said", "table",
            "Parked: figures differ or a scope failed, a person has to look. Waiting: something"
            " is still"
            " to come; the reason says what. `rackmeter invoice close` does the rest.",
            16, 10, sql="billing/outcomes",
            columns={"account": ACCOUNT, "closed at": TIME, "differences": Column(color="red")},
        ),
        Panel(
            "Net revenue by charge", "barchart",
            "Of the invoices of the month, before tax.",
            8, 10, sql="billing/revenue", unit="short", decimals=2,
        ),
        Panel(
            "Reconciliation differences", "table",
            "Two figures that should be one, line by line. None: every figure was got twice and"
            " agrees.",
            12, 8, sql="billing/differences", steps=NONE_IS_GOOD, columns={"account": ACCOUNT},
        ),
        Panel(
            "Usage after the seal", "table",
            "Usage that came for a sealed period after its invoice was cut; an invoice never"
            " changes, so"
            " this becomes an adjustment.",
            12, 8, sql="billing/adjustments", columns={"account": ACCOUNT},
        ),
        Panel(
            "Net revenue by month", "barchart",
            "Months that are not sealed stand as they are rated now, marked open.",
            24, 9, sql="billing/months", unit="short", decimals=2,
            matrix=("month", "metric", "value"),
        ),
    ),
)  # fmt: skip
