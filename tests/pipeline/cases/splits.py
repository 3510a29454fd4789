"""A difference over several windows: cumulative floors, so that the shares sum to the whole."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "an odd sum over two windows",
        "Seven over two halves: the earlier window gets the floor, the later the rest.",
        """
        o1#1 00:00 tx=0 up=0 -> accepted
        o1#2 00:10 tx=7 -> accepted
        """,
        """
        00:00 tx=3
        00:05 tx=4
        """,
        cover="""
        00:00 300
        00:05 300
        """,
    ),
    Case(
        "a reading exactly at the edge",
        "The window before is complete; the next one is not touched.",
        """
        o1#1 00:05 tx=10 -> accepted
        o1#2 00:10 tx=25 -> accepted
        """,
        """
        00:00 tx=10
        00:05 tx=15
        """,
        cover="00:05 300",
    ),
    Case(
        "a millisecond over the edge",
        "The share of a millisecond of 300,001 is floored into the first window's rest.",
        """
        o1#1 00:05 tx=0 -> accepted
        o1#2 00:10:00.001 tx=300001 -> accepted
        """,
        """
        00:05 tx=300000
        00:10 tx=1
        """,
    ),
    Case(
        "three windows at once",
        "Cumulative floors: 33, 66, 100.",
        """
        o1#1 00:00 tx=0 up=0 -> accepted
        o1#2 00:15 tx=100 -> accepted
        """,
        """
        00:00 tx=33
        00:05 tx=33
        00:10 tx=34
        """,
    ),
    Case(
        "the largest counter there is",
        "No sum wraps: two windows and the reading are exact near 2^63.",
        """
        o1#1 00:00 x=0 up=0 -> accepted
        o1#2 00:10 x=2^63-17 -> accepted
        """,
        """
        00:00 x=4611686018427387895
        00:05 x=4611686018427387896
        """,
    ),
    Case(
        "a window may not exceed 64 bits",
        "Two origins of 2^62 in one window: the second is refused, the first stays billed.",
        """
        o1#1 00:01 x=4611686018427387904 -> accepted
        o2#1 00:02 x=4611686018427387904 -> implausible
        o2#1 00:02 x=5 -> accepted
        """,
        "00:00 x=4611686018427387909",
        since={"o2": "00:01"},
    ),
]
