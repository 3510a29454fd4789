"""Wall clocks that step: totals do not see them, windows already finished get late entries."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "the clock steps back",
        "All of it to the newer reading's window, which is over: a late entry.",
        """
        o1#1 00:12 tx=100 -> accepted
        o1#2 00:07 tx=130 up=780 -> accepted
        o1#3 00:14 tx=140 up=840 -> accepted
        """,
        """
        00:00 tx=41
        00:05 tx=72
        00:10 tx=27
        """,
        late="00:05 tx=30 late",
        cover="00:10 120",
    ),
    Case(
        "two readings at the same time",
        "The interval is not positive: all of it to the window that ends there.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:05 tx=130 up=301 -> accepted
        """,
        "00:00 tx=130",
        cover="",
    ),
    Case(
        "two readings at the same time inside a window",
        "To the open window.",
        """
        o1#1 00:06 tx=120 -> accepted
        o1#2 00:06 tx=130 up=361 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=30
        """,
    ),
    Case(
        "a reboot whose beginning lies in the future",
        "The time of the reading counts, and the next interval is observed.",
        """
        o1#1 00:02 tx=1 -> accepted
        o2#1 00:04 tx=5 up=60 -> accepted
        o2#2 00:05 tx=6 up=120 -> accepted
        """,
        "00:00 tx=7",
        since={"o2": "02:00"},
        cover="00:00 60",
    ),
    Case(
        "a reboot into an earlier time",
        "The former origin's last reading is later: the interval is not positive.",
        """
        o1#1 00:12 tx=120 -> accepted
        o2#1 00:03 tx=5 -> accepted
        """,
        """
        00:00 tx=55
        00:05 tx=50
        00:10 tx=20
        """,
        since={"o2": "00:01"},
        late="00:00 tx=5 late",
    ),
]
