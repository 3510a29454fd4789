"""What is known by its bytes: one object each, bounded, and not to be emptied by strangers."""

from dataclasses import replace

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.names import Generations, NamesCache, Text
from pipeline.records import Names
from schemas.report import names_json
from tests.schemas.messages import ENVIRONMENT, KEY, PARTITIONS, REPORT, chunk, signed


def names(meter: str) -> Names:
    return Names.of((meter,), ("",))


def test_the_first_object_of_a_text_stays_the_only_one() -> None:
    cache: Generations[Names] = Generations()
    first = names("m")
    assert cache.get(b"m") is None
    assert cache.keep(b"m", first) is first
    assert cache.keep(b"m", names("m")) is first
    assert cache.get(b"m") is first


def test_what_is_used_outlives_any_number_of_others() -> None:
    cache: Generations[Names] = Generations(bytes_max=100)
    kept, seen = cache.keep(b"kept", names("kept")), cache.keep(b"seen", names("seen"))
    for n in range(1_000):
        cache.keep(b"%04d" % n, names("other"))
        assert cache.keep(b"kept", names("kept")) is kept
        assert cache.get(b"seen") is seen


def test_what_is_not_used_goes() -> None:
    cache: Generations[Names] = Generations(bytes_max=100)
    for n in range(1_000):
        cache.keep(b"%04d" % n, names("other"))
    kept = sum(cache.get(b"%04d" % n) is not None for n in range(1_000))
    assert 12 <= kept <= 25, "between half and all of the bound"


def test_a_text_larger_than_the_bound_is_still_usable() -> None:
    cache: Generations[Names] = Generations(bytes_max=2)
    large = names("large")
    assert cache.keep(b"large", large) is large


def test_only_admitted_reports_enter() -> None:
    """Or anyone who may write to the topic could push what is known of all servers out."""
    cache = NamesCache()
    text = Text.of(names_json(REPORT.meter, REPORT.resource).encode(), names("m")).sent
    body = signed(REPORT).value
    assert body is not None
    stem = body[: body.index(b',"seq":')]
    unsigned = replace(signed(), headers=())
    for message, known in ((unsigned, False), (signed(REPORT), True)):
        keyring = Keyring([KEY])
        decode(chunk(message), keyring, cache, environment=ENVIRONMENT, partitions=PARTITIONS)
        assert (cache.texts.get(text) is not None) is known
        assert (cache.stems.get(stem) is not None) is known
