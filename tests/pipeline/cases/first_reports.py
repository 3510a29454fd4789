"""The first report of a server: spread from its origin's beginning, when its counters were zero."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "the first report is spread from the origin's beginning",
        "Its counters were zero at since, so what they show was used between then and now.",
        "o1#1 00:10 tx=100 -> accepted",
        """
        00:00 tx=50
        00:05 tx=50
        """,
        cover="",
    ),
    Case(
        "not before the server was registered",
        "A machine that ran for days before it was enrolled pays for what it used, from then on.",
        "o1#1 00:10 tx=100 -> accepted",
        "00:05 tx=100",
        registered="00:05",
    ),
    Case(
        "read at the moment of the boot",
        "No time has passed since the beginning: it belongs to the millisecond before.",
        "o1#1 00:05 tx=3 up=0 -> accepted",
        "00:00 tx=3",
        since={"o1": "00:05"},
    ),
    Case(
        "a beginning in the future of the reading",
        "A wall clock that was set back after boot: all of it to the reading's window, then on.",
        """
        o1#1 00:07 tx=3 up=60 -> accepted
        o1#2 00:12 tx=8 up=360 -> accepted
        """,
        """
        00:05 tx=6
        00:10 tx=2
        """,
        since={"o1": "00:30"},
        cover="""
        00:05 180
        00:10 120
        """,
    ),
    Case(
        "read before the server was registered",
        "A spool filled before enrolment: to the reading's window, not to a later one.",
        """
        o1#1 00:07 tx=3 -> accepted
        o1#2 00:12 tx=8 -> accepted
        """,
        """
        00:05 tx=6
        00:10 tx=2
        """,
        registered="00:30",
    ),
    Case(
        "a first report of zeros",
        "Nothing was used and nothing is billed, but the server is known from now on.",
        """
        o1#1 00:02 tx=0 -> accepted
        o1#2 00:04 tx=7 -> accepted
        """,
        "00:00 tx=7",
        cover="00:00 120",
    ),
    Case(
        "an origin that claims to be older than 400 days",
        "Half of it in the older half of 400 days, not of 800; no million windows are filled.",
        "o1#1 00:00 tx=2 -> accepted",
        """
        -201/23:55 tx=1
        -1/23:55 tx=1
        """,
        since={"o1": "-800/00:00"},
        registered="-900/00:00",
    ),
    Case(
        "the later of beginning and registration",
        "Registered while the origin ran: from then on, not from the boot.",
        "o1#1 00:20 tx=100 -> accepted",
        """
        00:10 tx=50
        00:15 tx=50
        """,
        since={"o1": "00:05"},
        registered="00:10",
    ),
]
