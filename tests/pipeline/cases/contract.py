"""What a counter cannot do: fall, or gain more than its hardware allows. Refused, not repaired."""

from tests.pipeline.clerk import Case

CASES = [
    Case(
        "a counter that falls",
        "Refused; its number is not used up, and the next good report makes up for it.",
        """
        o1#1 00:05 tx=100 -> accepted
        o1#2 00:10 tx=99 -> regression
        o1#2 00:10 tx=150 -> accepted
        o1#3 00:15 tx=149 -> regression
        o1#4 00:20 tx=250 -> accepted
        """,
        """
        00:00 tx=100
        00:05 tx=50
        00:10 tx=50
        00:15 tx=50
        """,
    ),
    Case(
        "more than the hardware can do",
        "A GPU is busy for at most 1,000 ms a second, a second of slack is granted: 301 s.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o1#2 00:10 gpu=301101 -> implausible
        o1#2 00:10 gpu=301100 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=301000
        """,
    ),
    Case(
        "elapsed is counted on the boot clock",
        "The wall clock says a second, the machine has run for five minutes.",
        """
        o1#1 00:05:00 gpu=100 -> accepted
        o1#2 00:05:01 gpu=300000 up=600 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=299900
        """,
    ),
    Case(
        "the first report is bounded by the longer of both clocks",
        "Running for ten minutes by the wall clock: at most 601 s of a GPU.",
        """
        o1#1 00:10 gpu=601001 up=1 -> implausible
        o1#1 00:10 gpu=601000 up=1 -> accepted
        """,
        """
        00:00 gpu=300500
        00:05 gpu=300500
        """,
    ),
    Case(
        "one series falls, another is impossible",
        "Both at once is a regression; one bad sample refuses the whole report.",
        """
        o1#1 00:05 gpu=100 tx=100 -> accepted
        o1#2 00:10 gpu=999999 tx=99 -> regression
        o1#2 00:10 tx=99 gpu=999999 -> regression
        o1#2 00:10 gpu=999999 tx=200 -> implausible
        o1#2 00:10 gpu=200 tx=200 -> accepted
        """,
        """
        00:00 gpu=100 tx=100
        00:05 gpu=100 tx=100
        """,
    ),
    Case(
        "a server whose first report is refused",
        "It stays unknown, and a corrected first report is spread as if nothing had been.",
        """
        o1#1 00:10 gpu=9999999 -> implausible
        o1#1 00:10 gpu=100 -> accepted
        """,
        """
        00:00 gpu=50
        00:05 gpu=50
        """,
    ),
    Case(
        "a boot clock that stands still",
        "A second of slack is all that is granted.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o1#2 00:06 gpu=1101 up=300 -> implausible
        o1#2 00:06 gpu=1100 up=300 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=1000
        """,
    ),
    Case(
        "a boot clock that goes back",
        "No less than a second is granted either.",
        """
        o1#1 00:05 gpu=100 -> accepted
        o1#2 00:06 gpu=1101 up=10 -> implausible
        o1#2 00:06 gpu=1100 up=10 -> accepted
        """,
        """
        00:00 gpu=100
        00:05 gpu=1000
        """,
    ),
    Case(
        "the bound of a series first seen under a known origin",
        "Its counter was zero at the origin's beginning: ten minutes and a second.",
        """
        o1#1 00:05 tx=1 -> accepted
        o1#2 00:10 tx=1 gpu=601001 -> implausible
        o1#2 00:10 tx=1 gpu=601000 -> accepted
        """,
        """
        00:00 tx=1
        00:05 gpu=601000
        """,
    ),
    Case(
        "a meter that nobody has bounded",
        "A name this version does not know is metered, not judged.",
        """
        o1#1 00:00:01 x=0 -> accepted
        o1#2 00:00:02 x=4611686018427387904 -> accepted
        """,
        "00:00 x=4611686018427387904",
    ),
    Case(
        "a full series beside another one",
        "One counter near 2^63 leaves no room in its own window only: every other series has 64"
        " bits of its own, and the next window is empty.",
        """
        o1#1 00:01 x=2^63-17 tx=0 -> accepted
        o1#2 00:07 x=2^63-17 tx=99 -> accepted
        o1#3 00:12 x=2^63-17 tx=199 -> accepted
        """,
        """
        00:00 x=9223372036854775791 tx=66
        00:05 tx=93
        00:10 tx=40
        """,
    ),
    Case(
        "more than 64 bits beside what is open, and not in it",
        "A new origin's gain lies partly in later windows: only what falls into the open one counts"
        " beside what is there.",
        """
        o1#1 00:01 x=1000 -> accepted
        o2#1 00:02 x=0 -> accepted
        o2#2 00:06 x=2^63-17 -> accepted
        """,
        """
        00:00 x=6917529027641082843
        00:05 x=2305843009213693948
        """,
        since={"o2": "00:01"},
    ),
    Case(
        "a window filled to its last unit",
        "2^63 − 1 is the most that a window holds of a series; one unit more is refused.",
        """
        o1#1 00:01 x=6917529027641081855 -> accepted
        o2#1 00:08 x=4611686018427387906 -> implausible
        o2#1 00:08 x=4611686018427387904 -> accepted
        """,
        """
        00:00 x=9223372036854775807
        00:05 x=2305843009213693952
        """,
        since={"o2": "00:02"},
    ),
]
