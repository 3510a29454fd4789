"""Under which resource a card's counter is reported. Pure.

A series is a card, not a name: a NIC that was eth0 and is ens3 after an upgrade goes on under the
name it was first seen with, and another card that takes a name gets a series of its own, told by
its address. What has no card behind it is known by its name alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agents.sample import NO_CARD, Card, Sample, resource_name

NAMES_MAX = 4096
"""Cards that are remembered: as many as there are series."""


def named(
    names: Mapping[str, Card], samples: Iterable[Sample]
) -> tuple[dict[str, Card], tuple[Sample, ...]]:
    """The cards by resource, and the samples under the resources of their cards."""
    known, given = dict(names), dict[tuple[Card, str], str]()
    after = []
    for sample in samples:
        if sample.card == NO_CARD:
            after.append(sample)
            continue
        here = (sample.card, sample.resource)
        if here not in given:
            given[here] = _resource(known, sample)
            known[given[here]] = sample.card
        after.append(replace(sample, resource=given[here]))
    if len(known) > NAMES_MAX:
        known = {name: card for name, card in known.items() if name in given.values()}
    return known, tuple(after)


def _resource(known: Mapping[str, Card], sample: Sample) -> str:
    held = known.get(sample.resource)
    if held is not None and _same(held, sample.card):
        return sample.resource
    for name, card in known.items():
        if _same(card, sample.card):
            return name
    if held is None:
        return sample.resource
    mac, slot = sample.card
    return resource_name(f"{sample.resource} ({mac or slot})".encode())


def _same(one: Card, other: Card) -> bool:
    """Two addresses decide; where one was not to be had, driver and slot do."""
    if one[0] and other[0]:
        return one[0] == other[0]
    return one[1] == other[1]
