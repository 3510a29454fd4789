"""GPUs: held against busy, idle ones, MIG instances."""

from typing import Final

from deploy.grafana.boards.common import ACCOUNT, GRAIN, SERVER
from deploy.grafana.panels import Board, Column, Panel

GPU: Final = Board(
    name="gpu",
    title="GPU",
    why="GPUs that are held against GPUs that work, those that idle, and MIG instances.",
    variables=(GRAIN,),
    panels=(
        Panel(
            "GPUs", "stat",
            "Those that reported in the time shown. A GPU in MIG mode has no utilisation of its"
            " own.",
            12, 6, sql="gpu/state", columns={"busy while held": Column(unit="percent", decimals=1)},
        ),
        Panel(
            "GPU-hours held, by customer", "bargauge",
            "MIG instances count as one each.",
            12, 6, sql="gpu/customers", unit="short", decimals=1, steps=((None, "blue"),),
        ),
        Panel(
            "Held against busy", "timeseries",
            "Whole GPUs on average. Held: by a process; busy: executing kernels.",
            24, 10, sql="gpu/held_used", unit="short", decimals=1, bounds=(0, None),
            columns={"held": Column(color="blue"), "busy": Column(color="green")},
        ),
        Panel(
            "Idle GPUs", "table",
            "Held for an hour or more and busy less than 5 % of it: worth a word to the customer.",
            14, 10, sql="gpu/idle",
            columns={
                "server": SERVER, "account": ACCOUNT, "held": Column(unit="h"),
                "busy": Column(unit="h"), "share": Column(unit="percent", decimals=1, gauge=True),
            },
        ),
        Panel(
            "MIG instances", "table",
            "Share: how much of the time shown they were held, on average.",
            10, 10, sql="gpu/mig",
            columns={
                "held": Column(unit="h"), "share": Column(unit="percent", decimals=1, gauge=True),
            },
        ),
    ),
)  # fmt: skip
