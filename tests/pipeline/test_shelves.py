"""The column store is a mapping: what is put is what is got, wherever a server moves."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.heads import SEEN, Allowance, Chains, Head, names_of
from pipeline.shelves import Heads
from tests.pipeline.test_counters import memory

SERVERS = [f"s{i}" for i in range(6)]
numbers = st.integers(0, 2**63 - 17)


@st.composite
def heads(draw: st.DrawFn, server: str) -> Head:
    width = draw(st.integers(1, 3))
    names = names_of([("x", str(i)) for i in range(width)])
    row = st.lists(numbers, min_size=width, max_size=width).map(lambda v: np.array(v, np.int64))
    absent = draw(
        st.dictionaries(st.integers(0, width - 1), st.none() | st.tuples(numbers, numbers))
    )
    chains = Chains(
        draw(st.sampled_from(["o1", "o2"])), draw(numbers), draw(numbers), draw(numbers),
        draw(numbers), names, draw(row), absent, draw(st.integers(0, 9)),
    )  # fmt: skip
    seen = np.arange(SEEN, dtype=np.uint16) * draw(st.integers(0, 9))
    return Head(
        server, chains, seen, draw(numbers), draw(row), draw(st.integers(0, 300_000)),
        draw(st.sampled_from(["", "clock"])), draw(st.integers(1, 9)),
        Allowance(draw(st.integers(0, 9)), draw(st.integers(0, 9)), draw(st.integers(0, 9))),
    )  # fmt: skip


def whole(head: Head) -> tuple[object, ...]:
    return memory(head)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_it_is_a_mapping_of_copies(data: st.DataObject) -> None:
    """Beside a dict, through puts that move servers between widths, and removals."""
    store, model = Heads(), dict[str, Head]()
    for _ in range(data.draw(st.integers(1, 30))):
        server = data.draw(st.sampled_from(SERVERS))
        if server in model and data.draw(st.integers(0, 4)) == 0:
            del store[server], model[server]
            continue
        store[server] = model[server] = data.draw(heads(server))
        store[server].open[0] = 99  # of a copy
    assert {s: whole(h) for s, h in store.items()} == {s: whole(h) for s, h in model.items()}
    width, row = store.find(SERVERS)
    for i, server in enumerate(SERVERS):
        if server not in model:
            assert width[i] < 0
            continue
        shelf = store.shelves[int(width[i])]
        assert shelf.server[row[i]] == server
        assert shelf.whole[row[i]] == (not model[server].chains.absent)
        bounds = shelf.bounds[shelf.bound[row[i]]]
        assert bounds.tolist() == model[server].chains.names.per_second_max.tolist()
    assert store.dirty() == {s: h.chains.at_ms for s, h in model.items()}


@given(heads("s0"))
def test_what_is_put_is_dirty_until_cleaned(head: Head) -> None:
    store = Heads()
    for server in SERVERS:
        store[server] = replace(head, server=server)
    assert store.dirty_count() == len(SERVERS)
    [states] = store.take_dirty()
    assert set(states.server) == set(SERVERS)
    assert (store.dirty(), store.dirty_count(), store.take_dirty()) == ({}, 0, [])
    store.flag("s3", "clock")
    store.flag("nobody", "clock")
    assert store.dirty().keys() == {"s3"}
    assert store["s3"].flagged == "clock"


@given(heads("s0"))
def test_rows_of_servers_that_left_are_used_again(head: Head) -> None:
    store = Heads()
    for n in range(100):
        store[f"s{n}"] = head
        del store[f"s{n}"]
    assert sum(shelf.used for shelf in store.shelves.values()) == 1
