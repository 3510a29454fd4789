"""Reports that are set aside: dead letters up to an offset, and nobody else notices."""

from dataclasses import replace

import pytest

from pipeline.lanes import Taken
from pipeline.quarantine import Aside
from tests.pipeline.test_lanes import Line, Rec, chunk, intake, message

LOG = [message(n, 1 + n // 3, server=f"s{n % 3}") if n % 5 else Rec(n, b"junk") for n in range(18)]


def line(end: int, *aside: str) -> Line:
    made = Line(known=intake("s0", "s1", "s2"))
    made.lane.aside = Aside(end, dict.fromkeys(aside, "no room"))
    return made


def of(server: str, begin: int, end: int) -> list[int]:
    return [r.offset for r in LOG[begin:end] if r.key == server.encode() and r.value != b"junk"]


def test_reports_up_to_an_offset_are_dead_letters_with_the_words_of_the_database() -> None:
    made = line(9, "s1")
    made.take(chunk(*LOG[:9]))
    letters = [letter for letter in made.lane.out.dead if letter.reason.value == "quarantined"]
    assert [letter.offset for letter in letters] == of("s1", 0, 9)
    assert {letter.detail for letter in letters} == {
        "the database refused this server's rows before offset 9: no room"
    }
    assert [letter.payload for letter in letters] == [LOG[i].value for i in of("s1", 0, 9)]
    assert set(made.lane.heads) == {"s0", "s2"}
    assert made.lane.taken == {"s0", "s2"}
    assert sum(made.counts.values()) == 9


@pytest.mark.parametrize("size", [1, 2, 4, 18])
@pytest.mark.parametrize("end", [1, 7, 9, 17, 18])
def test_others_are_metered_as_without_it(size: int, end: int) -> None:
    """However the log is cut into chunks; the end is always the end of one."""
    made, plain = line(end, "s1"), line(-1)
    stops = set()
    while made.lane.expect < len(LOG):
        begin = made.lane.expect
        assert made.take(chunk(*LOG[begin : begin + size])) is Taken.METERED
        stops.add(made.lane.expect)
    assert end in stops
    plain.take(chunk(*(r for r in LOG if r.offset not in of("s1", 0, end))))
    for server, head in plain.lane.heads.items():
        mine = made.lane.heads[server]
        assert (mine.chains.last == head.chains.last).all()
        assert mine.chains.seq_hi == head.chains.seq_hi
    assert made.lane.heads.keys() == plain.lane.heads.keys()
    count = len(of("s1", 0, end))
    assert made.counts == plain.counts | ({"quarantined": count} if count else {})


def test_only_whom_a_key_proves() -> None:
    """Junk and forgeries in the name of a server that is set aside keep their own reasons."""
    made = line(9, "s1")
    forged = replace(message(3, 1, server="s1"), headers=())
    made.take(chunk(message(0, 1, server="s1"), message(1, 1, server="s2"), forged))
    assert made.counts == {"quarantined": 1, "accepted": 1, "unsigned": 1}
    assert sorted(letter.offset for letter in made.lane.out.dead) == [0, 3]


def test_all_of_a_chunk() -> None:
    made = line(9, "s1")
    assert made.take(chunk(message(0, 1, server="s1"))) is Taken.METERED
    assert (made.counts, made.lane.expect) == ({"quarantined": 1}, 1)
