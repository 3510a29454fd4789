"""What one server may show anew within an hour of append time. A refusal costs no usage: the number
is not used up, and the next report that is taken makes up for it. The bounds are small here.
"""

import pytest

from pipeline.admit import Rules
from pipeline.counters import take
from tests.pipeline.clerk import Case, said_windows, windows
from tests.pipeline.world import World

RULES = Rules(series_max=4, series_per_hour=2, origins_per_hour=2)
CASES = [
    Case(
        "origins of an hour",
        "The third waits for the next hour; its number is not used up.",
        """
        o1#1 00:01 append=10:00 tx=1 -> accepted
        o2#1 00:02 append=10:01 tx=2 -> accepted
        o3#1 00:03 append=10:59 tx=4 -> excessive
        o2#2 00:04 append=10:59 tx=3 -> accepted
        o3#1 00:03 append=11:00 tx=4 -> accepted
        """,
        "00:00 tx=8",
    ),
    Case(
        "no agent chooses its hour",
        "The hour is the broker's, whatever the reading says, and it never goes back.",
        """
        o1#1 00:01 append=10:59 tx=1 -> accepted
        o2#1 05:00 append=10:59 tx=0 up=9 -> accepted
        o3#1 09:00 append=10:59 tx=4 up=9 -> excessive
        o3#1 09:00 append=09:00 tx=4 up=9 -> excessive
        """,
        "00:00 tx=1",
        since={"o2": "04:59", "o3": "08:59"},
    ),
    Case(
        "origins that were over before they were heard of",
        "A tail that opens an origin counts like any other.",
        """
        o9#1 00:30 append=10:00 tx=1 -> accepted
        o1#1 00:05 append=10:00 tx=1 -> accepted
        o2#1 00:10 append=10:00 tx=1 -> excessive
        """,
        """
        00:00 tx=1
        00:25 tx=1
        """,
        since={"o9": "00:29", "o2": "00:06"},
    ),
    Case(
        "what a former origin shows late",
        "It was heard of before, so it opens none.",
        """
        o1#1 00:01 append=10:00 tx=1 -> accepted
        o2#1 00:03 append=10:01 tx=2 -> accepted
        o1#2 00:02 append=10:02 tx=1 rx=1 -> accepted
        """,
        "00:00 tx=3 rx=1",
        since={"o2": "00:02"},
    ),
    Case(
        "new series of an hour",
        "Two may be new; a third waits, and then shows all it gained.",
        """
        o1#1 00:05 append=09:59 tx=1 -> accepted
        o1#2 00:10 append=10:10 tx=1 rx=1 t1=5 -> accepted
        o1#3 00:15 append=10:20 tx=2 rx=1 t1=5 gpu=5 -> excessive
        o1#3 00:15 append=10:20 tx=2 rx=1 t1=5 -> accepted
        o1#4 00:20 append=11:00 tx=2 rx=1 t1=5 gpu=9 -> accepted
        """,
        """
        00:00 tx=1
        00:05 rx=1 t1=5
        00:10 tx=1
        00:15 gpu=9
        """,
    ),
    Case(
        "what was shown before is not new",
        "A series that comes back, or goes on after a reboot, uses nothing up.",
        """
        o1#1 00:05 append=10:00 tx=1 rx=1 -> accepted
        o1#2 00:10 append=10:00 tx=1 -> accepted
        o1#3 00:15 append=10:00 rx=1 tx=1 -> accepted
        o2#1 00:20 append=10:00 tx=1 rx=1 -> accepted
        """,
        """
        00:00 tx=1 rx=1
        00:15 tx=1 rx=1
        """,
        since={"o2": "00:16"},
    ),
    Case(
        "series of an origin",
        "Four at most, however slowly they come; a fifth never does.",
        """
        o1#1 00:05 append=10:00 tx=1 rx=1 -> accepted
        o1#2 00:10 append=11:00 t1=1 gpu=1 -> accepted
        o1#3 00:15 append=12:00 x=1 -> excessive
        """,
        """
        00:00 tx=1 rx=1
        00:05 t1=1 gpu=1
        """,
    ),
    Case(
        "series of the first report",
        "Two are new with the first report; a third waits, and then shows all it gained.",
        """
        o1#1 00:05 append=10:00 tx=1 rx=1 -> accepted
        o1#2 00:10 append=10:10 tx=1 rx=1 t1=5 -> excessive
        o1#2 00:10 append=10:10 tx=2 rx=1 -> accepted
        o1#3 00:15 append=11:00 tx=2 rx=1 t1=9 -> accepted
        """,
        """
        00:00 tx=1 rx=1
        00:05 tx=1
        00:10 t1=9
        """,
    ),
    Case(
        "the first report of a server",
        "It is bounded too, and leaves nothing behind.",
        """
        o1#1 00:05 append=10:00 tx=1 rx=1 t1=1 -> excessive
        o1#1 00:05 append=10:00 tx=1 rx=1 -> accepted
        """,
        "00:00 tx=1 rx=1",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    world = World()
    verdicts = [take(world.heads, r, world.out, RULES).verdict for r in case.readings]
    assert verdicts == case.verdicts, case.why
    assert said_windows(world) == windows(case.windows), case.why


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("origins of an hour", "3 origins within an hour; at most 2 are taken"),
        ("new series of an hour", "3 new series within an hour; at most 2 are taken"),
        ("series of an origin", "5 series in one origin; at most 4 are taken"),
    ],
)
def test_the_sentence(name: str, sentence: str) -> None:
    [case] = [case for case in CASES if case.name == name]
    world = World()
    details = [take(world.heads, r, world.out, RULES).detail for r in case.readings]
    assert list(filter(None, details)) == [sentence]


def test_the_bounds_are_as_documented() -> None:
    assert (Rules().series_max, Rules().series_per_hour, Rules().origins_per_hour) == (
        4096, 4096, 60,
    )  # fmt: skip
