"""Reports of a former origin: they extend its own chain and become late entries."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "a late tail of the former origin",
        "Spooled before the crash, sent after it: it extends its own chain, as late entries.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=130 -> accepted
        o1#2 00:08 tx=130 -> late
        o1#1 00:05 tx=100 -> late
        """,
        """
        00:00 tx=100
        00:05 tx=30
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 tx=30 tail",
    ),
    Case(
        "an origin that was over before it was heard of",
        "Its one report comes after its successor's: late entries, and the successor goes on.",
        """
        o2#1 00:15 tx=20 -> accepted
        o1#1 00:05 tx=100 -> accepted
        o1#1 00:05 tx=100 -> late
        o2#2 00:20 tx=50 -> accepted
        """,
        """
        00:00 tx=100
        00:10 tx=20
        00:15 tx=30
        """,
        since={"o2": "00:10"},
        late="00:00 tx=100 tail",
        cover="00:15 300",
    ),
    Case(
        "a tail that breaks the contract",
        "It is refused like any other, and a corrected one is accepted.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=99 -> regression
        o1#2 00:08 tx=110 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=10
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 tx=10 tail",
    ),
    Case(
        "a tail with a series its origin never had",
        "Spread from that origin's last reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:15 tx=20 -> accepted
        o1#2 00:08 tx=100 t1=9 -> accepted
        """,
        """
        00:00 tx=100
        00:05 t1=9
        00:10 tx=20
        """,
        since={"o2": "00:10"},
        late="00:05 t1=9 tail",
    ),
    Case(
        "three origins",
        "A restored image comes with an id of its own; every chain is billed to its last reading.",
        """
        o1#1 00:05 tx=100 -> accepted
        o2#1 00:10 tx=20 -> accepted
        o3#1 00:15 tx=3 -> accepted
        o1#2 00:15 tx=101 -> accepted
        o2#2 00:15 tx=22 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=20
        00:10 tx=6
        """,
        since={"o2": "00:06", "o3": "00:11"},
        late="""
        00:10 tx=1 tail
        00:10 tx=2 tail
        """,
    ),
    Case(
        "an origin heard of late that overlaps the running one",
        "It becomes the running one, for it was heard of last; every chain still counts.",
        """
        o2#1 00:15 tx=20 -> accepted
        o1#1 00:12 tx=100 -> accepted
        o2#2 00:20 tx=50 -> accepted
        o1#2 00:14 tx=110 -> accepted
        """,
        """
        00:10 tx=130
        00:15 tx=30
        """,
        since={"o2": "00:10"},
        late="00:15 tx=30 tail",
    ),
    Case(
        "the bound of a tail",
        "Counted on its own boot clock, from its own last reading.",
        """
        o1#1 00:05 gpu=0 -> accepted
        o2#1 00:15 gpu=0 -> accepted
        o1#2 00:08 gpu=181001 -> implausible
        o1#2 00:08 gpu=181000 -> accepted
        """,
        "00:05 gpu=181000",
        since={"o2": "00:10"},
        late="00:05 gpu=181000 tail",
    ),
    Case(
        "a tail observes nothing",
        "Coverage is said once, with the window; what comes later is quantity alone.",
        """
        o1#1 00:01 tx=1 -> accepted
        o2#1 00:15 tx=1 -> accepted
        o1#2 00:03 tx=2 -> accepted
        """,
        """
        00:00 tx=2
        00:10 tx=1
        """,
        since={"o2": "00:14"},
        late="00:00 tx=1 tail",
        cover="",
    ),
]
