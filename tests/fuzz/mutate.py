"""Changes that keep an input close to something: whole JSON tokens, whole records of a log.

Half of all changes are libFuzzer's own, which only see bytes.
"""

import re
from collections.abc import Callable
from random import Random

import atheris

from tests.fuzz.decoding import BETWEEN, SPOILT
from tests.fuzz.metering import HEADER, RECORD
from tests.schemas.grammar import HOSTILE, TOKENS

Mutator = Callable[[bytes, int, int], bytes]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|\w+|![a-z0-9]|[^\w]', re.DOTALL)
_PIECES = (*HOSTILE, *TOKENS, BETWEEN, *SPOILT, *(BETWEEN + spoilt for spoilt in SPOILT))


def tokens(data: bytes, size_max: int, seed: int) -> bytes:
    """One to three cuts, copies or swaps of JSON tokens, or a hostile piece in place of one."""
    random = Random(seed)
    if random.random() < 0.5:
        return bytes(atheris.Mutate(data, size_max))
    return b"".join(_changed(_TOKEN.findall(data), random, _PIECES))[:size_max]


def records(data: bytes, size_max: int, seed: int) -> bytes:
    """The same with the fixed-length records of ``tests.fuzz.metering``."""
    random = Random(seed)
    if random.random() < 0.5:
        return bytes(atheris.Mutate(data, size_max))
    whole = [data[at : at + RECORD] for at in range(HEADER, len(data), RECORD)]
    ordinary = (bytes(RECORD), bytes([random.randrange(3)]).ljust(RECORD, b"\0"))
    return (data[:HEADER] + b"".join(_changed(whole, random, ordinary)))[:size_max]


def _changed(parts: list[bytes], random: Random, pieces: tuple[bytes, ...]) -> list[bytes]:
    for _ in range(random.randint(1, 3)):
        at, other = random.randint(0, len(parts)), random.randint(0, len(parts))
        match random.randrange(5):
            case 0:
                del parts[at : at + random.randint(1, 4)]
            case 1:
                parts[at:at] = [random.choice(pieces)]
            case 2:
                parts[at : at + 1] = [random.choice(pieces)]
            case 3:
                parts[at:at] = parts[other : other + random.randint(1, 8)]
            case _ if parts:
                at, other = at % len(parts), other % len(parts)
                parts[at], parts[other] = parts[other], parts[at]
            case _:
                pass
    return parts
