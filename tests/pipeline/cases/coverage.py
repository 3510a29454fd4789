"""Coverage: the time between neighbouring readings of one origin, unless a gap."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "neighbouring readings within the gap limit",
        "Fifteen minutes are observed to the millisecond.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:16 tx=1 -> accepted
        """,
        "00:00 tx=1",
        cover="""
        00:00 240
        00:05 300
        00:10 300
        00:15 60
        """,
    ),
    Case(
        "a millisecond longer",
        "A gap: metered all the same, and marked as not observed.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:16:00.001 tx=901 -> accepted
        o1#3 00:18 tx=901 -> accepted
        """,
        """
        00:00 tx=240
        00:05 tx=300
        00:10 tx=300
        00:15 tx=61
        """,
        cover="00:15 119",
    ),
    Case(
        "between two origins nothing is observed",
        "Coverage is time between readings of one origin.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:03 tx=1 -> accepted
        o2#1 00:06 tx=1 -> accepted
        o2#2 00:08 tx=1 -> accepted
        """,
        """
        00:00 tx=1
        00:05 tx=1
        """,
        since={"o2": "00:05"},
        cover="""
        00:00 120
        00:05 120
        """,
    ),
    Case(
        "two clocks that disagree",
        "Observed is what the wall clock passed between two readings, not what it went back.",
        """
        o1#1 00:03 tx=1 -> accepted
        o1#2 00:01 tx=1 up=200 -> accepted
        o1#3 00:04 tx=1 up=260 -> accepted
        """,
        "00:00 tx=1",
        cover="00:00 60",
    ),
]
