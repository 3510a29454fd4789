"""Reboots: a new origin begins at zero and keeps its own chains; so does the former one."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "a reboot",
        "A new origin begins at zero: both are billed, nothing is guessed in between.",
        """
        o1#7 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o2#2 00:15 tx=30 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        00:10 tx=10
        """,
        since={"o2": "00:06"},
        cover="00:10 300",
    ),
    Case(
        "not before the former origin's last reading",
        "A clock that jumped at boot: the time before is already metered.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        """,
        since={"o2": "00:01"},
    ),
    Case(
        "a reboot with fewer series",
        "What the new origin has not reported reads zero in it; the old reading stays billed.",
        """
        o1#1 00:05 tx=100 t1=10 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o2#2 00:15 tx=30 t1=4 -> accepted
        """,
        """
        00:00 tx=100 t1=10
        00:05 tx=20
        00:10 tx=10 t1=4
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "a reboot with more series",
        "The new NIC's counter is zero at since as well.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 t1=6 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20 t1=6
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "a reboot with series in another order",
        "Within one window, the open quantities move with their names.",
        """
        o1#1 00:01 tx=100 rx=7 -> accepted
        o2#1 00:03 rx=1 tx=20 -> accepted
        """,
        "00:00 tx=120 rx=8",
        since={"o2": "00:02"},
    ),
    Case(
        "a reboot with other series altogether",
        "Nothing in common: all four quantities stand.",
        """
        o1#1 00:01 tx=100 rx=7 -> accepted
        o2#1 00:03 t1=5 gpu=6 -> accepted
        o2#2 00:04 t1=6 gpu=7 tx=1 -> accepted
        """,
        "00:00 tx=101 rx=7 t1=6 gpu=7",
        since={"o2": "00:02"},
    ),
    Case(
        "a new origin that is refused",
        "The running one goes on as if it had never been.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o2#1 00:10 gpu=9999999 -> implausible
        o1#2 00:10 gpu=200 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=100
        """,
        since={"o2": "00:06"},
    ),
    Case(
        "a reboot after the server was registered anew",
        "Not before the registration, also when the former origin ended earlier.",
        """
        o1#1 00:05 tx=10 -> accepted
        o2#1 00:20 tx=6 -> accepted
        """,
        """
        00:00 tx=10
        00:15 tx=6
        """,
        since={"o1": "00:04", "o2": "00:06"},
        registered="00:15",
    ),
    Case(
        "the agent's memory is lost while the machine runs on",
        "The new origin begins where its agent began; what passed in between nobody counted.",
        """
        o1#3 00:05 tx=100 -> accepted
        o2#1 00:10 tx=0 up=600 -> accepted
        o2#2 00:15 tx=30 up=900 -> accepted
        """,
        """
        00:00 tx=100
        00:10 tx=30
        """,
        since={"o2": "00:10"},
        cover="00:10 300",
    ),
]
