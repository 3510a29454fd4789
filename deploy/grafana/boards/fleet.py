"""The fleet: what is used, where it is not observed, who is silent."""

from typing import Final

from deploy.grafana.boards.common import (
    ACCOUNT,
    GRAIN,
    NONE_IS_GOOD,
    PERCENT_GOOD,
    SERVER,
    TIME,
)
from deploy.grafana.panels import Board, Column, Panel, Variable

FLEET: Final = Board(
    name="fleet",
    title="Fleet",
    why="Usage of all servers, how much of it was observed, and who is silent.",
    variables=(Variable("meter", "Meter", "variables/meter"), GRAIN),
    panels=(
        Panel(
            "Servers", "stat",
            "Silent: rented, and not read for 15 minutes. Rented by nobody: its usage goes to"
            " the house.",
            12, 7, sql="fleet/servers",
            columns={
                "silent": Column(color="red"),
                "reporting, rented by nobody": Column(color="orange"),
            },
        ),
        Panel(
            "Coverage", "stat",
            "Share of the rented time that lies between two readings no further apart than the"
            " gap limit."
            " What was not observed is still counted when the next reading comes; it is only"
            " spread.",
            4, 7, sql="fleet/coverage", unit="percent", decimals=2, steps=PERCENT_GOOD,
        ),
        Panel(
            "Usage by meter", "table",
            "In the time shown; the change is against as long a time before it.",
            8, 7, sql="fleet/meters", columns={"change": Column(unit="percent", decimals=1)},
        ),
        Panel(
            "Traffic", "timeseries",
            "Of all servers together, from the ledger; late usage moves the past.",
            16, 9, sql="fleet/traffic", unit="bps", bounds=(0, None),
            columns={"sent": Column(color="blue"), "received": Column(color="green")},
        ),
        Panel(
            "Top servers", "table",
            "Those that used most of the chosen meter. A click on a server opens its traffic.",
            8, 9, sql="fleet/top",
            columns={
                "server": SERVER, "account": ACCOUNT,
                "share": Column(unit="percent", decimals=1, gauge=True),
            },
        ),
        Panel(
            "Coverage map", "status-history",
            "The 25 rented servers that were observed least, hour by hour. A column of red is the"
            " pipeline or the broker; a row of red is that server.",
            24, 13, sql="fleet/coverage_map", unit="percent", steps=PERCENT_GOOD, bounds=(0, 100),
        ),
        Panel(
            "Silent servers", "table",
            "Rented and not read for 15 minutes. Nothing is lost while the server keeps"
            " counting; its"
            " period cannot close before it reports again, or an interval says why it does not.",
            24, 8, sql="fleet/silent", steps=NONE_IS_GOOD,
            columns={
                "server": SERVER, "account": ACCOUNT, "last reading": TIME,
                "silent for": Column(unit="s", decimals=0),
            },
        ),
    ),
)  # fmt: skip
