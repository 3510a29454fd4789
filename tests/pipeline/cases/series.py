"""Series that come, go and change places: each differs from its own last reading."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "a series first seen under a known origin",
        "A second NIC is plugged in: spread from the server's previous report.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:10 tx=200 t1=50 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100 t1=50
        """,
    ),
    Case(
        "a series that is absent and comes back",
        "It differs from its own last reading, spread over its absence.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o1#2 00:12 tx=200 -> accepted
        o1#3 00:15 tx=300 t1=30 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=71 t1=10
        00:10 tx=129 t1=10
        """,
        late="00:05 t1=10 late",
    ),
    Case(
        "absent, back and smaller",
        "A counter never falls within an origin, however long it was away.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o1#2 00:10 tx=200 -> accepted
        o1#3 00:15 tx=300 t1=9 -> regression
        o1#3 00:15 tx=300 t1=10 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "the bound of a series that was away",
        "Ten minutes since its own last reading: 601 s of GPU time, not 301.",
        """
        o1#1 00:05 tx=1 gpu=0 -> accepted
        o1#2 00:10 tx=1 -> accepted
        o1#3 00:15 tx=1 gpu=601001 -> implausible
        o1#3 00:15 tx=1 gpu=601000 -> accepted
        """,
        """
        00:00 tx=1
        00:05 gpu=300500
        00:10 gpu=300500
        """,
    ),
    Case(
        "another order",
        "Series are known by name, not by place.",
        """
        o1#1 00:05 tx=100 rx=7 -> accepted
        o1#2 00:10 rx=9 tx=200 -> accepted
        o1#3 00:15 tx=300 rx=9 -> accepted
        """,
        """
        00:00 tx=100 rx=7
        00:05 tx=100 rx=2
        00:10 tx=100
        """,
    ),
    Case(
        "series come and go in every report",
        "Each keeps its own reading and time.",
        """
        o1#1 00:05 tx=10 -> accepted
        o1#2 00:06 rx=20 -> accepted
        o1#3 00:07 t1=30 -> accepted
        o1#4 00:08 t1=31 tx=12 rx=20 -> accepted
        """,
        """
        00:00 tx=10
        00:05 rx=20 t1=31 tx=2
        """,
    ),
    Case(
        "away when the machine reboots, back afterwards",
        "Both chains count: the old one to its last reading, the new one from zero.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o1#2 00:10 tx=100 -> accepted
        o2#1 00:15 tx=1 t1=4 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:10 tx=1 t1=4
        """,
        since={"o2": "00:11"},
    ),
    Case(
        "away for longer than the server was",
        "The absence is spread over, the observation is the server's.",
        """
        o1#1 00:05 tx=0 t1=0 -> accepted
        o1#2 00:10 tx=0 -> accepted
        o1#3 00:15 tx=0 -> accepted
        o1#4 00:20 tx=0 t1=9 -> accepted
        """,
        """
        00:05 t1=3
        00:10 t1=3
        00:15 t1=3
        """,
        late="00:05 t1=3 late",
        cover="""
        00:05 300
        00:10 300
        00:15 300
        """,
    ),
]
