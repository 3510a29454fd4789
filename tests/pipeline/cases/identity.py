"""Lost, late and repeated reports, and numbers used twice: none changes a total."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "a lost report",
        "The next one shows everything; only the time is known less finely.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#3 00:15 tx=300 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "a late report",
        "Its difference is already in the newer reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#3 00:15 tx=300 -> accepted
        o1#2 00:10 tx=290 -> late
        o1#2 00:10 tx=290 -> duplicate
        o1#2 00:10 tx=291 -> conflict
        """,
        """
        00:00 tx=100
        00:05 tx=100
        00:10 tx=100
        """,
    ),
    Case(
        "the same report twice",
        "A retry after a lost answer counts once.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=100 -> duplicate
        o1#2 00:10 tx=200 -> accepted
        o1#1 00:05 tx=100 -> duplicate
        o1#2 00:10 tx=200 -> duplicate
        """,
        """
        00:00 tx=100
        00:05 tx=100
        """,
    ),
    Case(
        "the same identity with other content",
        "A sequence number is used once; the second one is put aside for a person.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=101 -> conflict
        o1#2 00:10 tx=200 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=100
        """,
    ),
    Case(
        "very old",
        "More than 512 behind: harmless, whatever it says.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#600 00:05 tx=100 -> accepted
        o1#1 00:01 tx=1 -> late
        o1#88 00:02 tx=77 -> late
        o1#88 00:02 tx=99 -> late
        o1#89 00:02 tx=77 -> late
        o1#89 00:02 tx=78 -> conflict
        """,
        "00:00 tx=100",
    ),
    Case(
        "skipped numbers that share a place with older ones",
        "Number 513 was never seen, though number 1 was: it is late, not in conflict with 1.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:02 tx=2 -> accepted
        o1#600 00:05 tx=100 -> accepted
        o1#513 00:04 tx=50 -> late
        o1#514 00:04 tx=51 -> late
        """,
        "00:00 tx=100",
    ),
    Case(
        "a leap of numbers in the middle of a chunk",
        "The same on the fast path: number 514 was never seen, though number 2 was.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#2 00:02 tx=2 -> accepted
        o1#600 00:04 tx=100 -> accepted
        """,
        "00:00 tx=100",
    ),
    Case(
        "a late report proves nothing more",
        "The interval was metered as a gap; that somebody looked in between changes no coverage.",
        """
        o1#1 00:01 tx=1 -> accepted
        o1#3 00:21 tx=1 -> accepted
        o1#2 00:11 tx=1 -> late
        """,
        "00:00 tx=1",
        cover="",
    ),
    Case(
        "a late report with a series that no newer one shows",
        "A late report never counts; the NIC is billed when it is shown again.",
        """
        o1#1 00:05 tx=1 -> accepted
        o1#3 00:15 tx=1 -> accepted
        o1#2 00:10 tx=1 t1=10 -> late
        o1#4 00:20 tx=1 t1=12 -> accepted
        """,
        """
        00:00 tx=1
        00:15 t1=12
        """,
    ),
]
