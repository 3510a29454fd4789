"""Hypothesis strategies for bodies: good, odd and hostile ones, never far from a real report."""

import json
from collections.abc import Iterator
from functools import cache

from hypothesis import strategies as st

from schemas.report import Report, encode

NAMES = (
    (("cpu.busy_ms",), ("",)),
    (("net.rx_bytes", "net.tx_bytes"), ("eth0", "eth0")),
    (("gpu.busy_ms", "gpu.busy_ms", "x"), ("GPU-1", "GPU-2", 'odd ],"value":[1]}\\ "ü\U0001f600')),
)
USUAL = tuple(
    Report("fra-1042", "0f5c1e6a-77", 1, 41, 2, 3, 4, meter, resource, (7,) * len(meter))
    for meter, resource in NAMES
)
"""A report with each of the names: what a reader may have heard before."""
_TIMES = st.integers(0, 253_402_300_799_999) | st.integers(0, 10**6)
_VALUES = st.integers(0, 10**6) | st.integers(10**17, 10**19) | st.sampled_from([0, 2**63 - 17])

HOSTILE = (
    *(b" ", b"\n", b"\r", b"\t", b"\0", b"\x1f", b"\x0c", b"\x7f", "ü".encode(), "\u2028".encode()),
    # No UTF-8: cut short, a surrogate, overlong, past the last plane, another encoding's mark.
    *(
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe{\0",
    ),
    *(
        b'"',
        b"\\",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"-",
        b"+",
        b"0",
        b"7.0",
        b"1e3",
        b"-0",
        b"007",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"1E-9",
        b".5",
        b"5.",
        b"0x7",
        b"1_0",
    ),
    *(b"true", b"null", b'"7"', b"-1", b"-" + b"9" * 19, b"9" * 18, b"9" * 19, b"9" * 5_000),
    *(b"9223372036854775791", b"9223372036854775792", b"9007199254740991", b"9007199254740992"),
    *(b"18446744073709551617", "٧".encode(), "７".encode()),
    *(
        rb"\ud800",
        rb"\udc00\ud800",
        rb"\ud83d\ude00",
        rb"\u0000",
        rb"\u0066",
        rb"\n",
        rb"\"",
        rb"\/",
        rb"\x",
    ),
    *(b'"value":[', b',"value":[1]', b'"meter":["m"],', b'"v":2,', b'"v":1,', b'"x":1,', b"1,1"),
    *(b"[]", b"{}", b'{"a":1}', b'{"a":1,"a":1}', b"[[[[1]]]]", b"[0.5,null,false]"),
    *(b"[" * 300, b'{"a":' * 300, b"[" * 15 + b"]" * 15, b"[" * 16 + b"]" * 16, b"n" * 257),
)

_TYPES = (
    b"null",
    b"true",
    b"7",
    b'"7"',
    b"1.5",
    b"{}",
    b'{"0":1}',
    b"[]",
    b"[[]]",
    b"[null]",
    b"NaN",
    b"",
)
_TIME_EDGES = (
    *(b"0", b"-0", b"00", b"01", b"-1", b"+1", b"7.0", b"1e3", b"null", b'"7"', b"true", b""),
    *(b"9" * 14, b"9" * 15, b"1" + b"0" * 15, b"9" * 16, b"9" * 17, b"9" * 18, b"9" * 19),
    *(b"9007199254740991", b"9007199254740992", b"253402300799999", b"253402300800000"),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-" + b"9" * 30),
)
_NAME_EDGES = (
    *(b"", b"a", b"a b", b"a_b", b"a.b", b"a/b", b"\x7f", b"\x1f", b"\xff", "é".encode(), b'"'),
    *(
        b"\0",
        b"\n",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        rb"\u007f",
        rb"\u0085",
        rb"\udc00\ud800",
        rb"\ud83d\ude00",
    ),
    *(rb"\\", rb"\"", rb"\u0061", rb"\u0000", rb"\ud800", rb"\n", b"\\", b"n" * 64, b"n" * 65),
    *(b"n" * 256, b"n" * 257, "é".encode() * 256, "é".encode() * 257),
)
_COUNTER_EDGES = (
    *_TIME_EDGES,
    *(b"1,2", b"1 ", b" 1", b"1,", b",1", b"[1]", b"9" * 5_000, b"000000000000000001"),
    *(b"9223372036854775791", b"9223372036854775792", b"9223372036854775808", b"1\n", b"1\0"),
)
_SERIES = (
    *(
        b"[]",
        b'["m"]',
        b'["m","m"]',
        b'["m","m","m"]',
        b'[""]',
        b"[1]",
        b"null",
        b'["m",]',
        b'["m"],"x":[1]',
    ),
    *(
        b'["m",null]',
        b'["%s"]' % (b"n" * 257),
        rb'["\u0000"]',
        rb'["\ud800"]',
        b'["\n"]',
        b'["\0"]',
    ),
)
_EDGES = {
    b"v": (b"0", b"2", b"01", b"1.0", b"true", b'"1"', b"11"),
    b"server": tuple(b'"%s"' % name for name in _NAME_EDGES),
    b"origin": tuple(b'"%s"' % name for name in _NAME_EDGES),
    b"since_ms": _TIME_EDGES,
    b"seq": (*_TIME_EDGES, b"4611686018427387904", b"4611686018427387905"),
    b"at_ms": _TIME_EDGES,
    b"at_up_ms": _TIME_EDGES,
    b"sent_up_ms": _TIME_EDGES,
    b"meter": _SERIES,
    b"resource": _SERIES,
    b"value": tuple(b"[%s]" % edge for edge in _COUNTER_EDGES),
}
TOKENS = tuple(b'"%s":' % name for name in _EDGES) + tuple(
    dict.fromkeys(token for tokens in _EDGES.values() for token in tokens)
)
"""Every edge of every field, and the fields' names."""
_ENDS = (b"}", b"}}", b"]", b"", b" }", b"}\n", b"}\0", b",1]}", b',"value":[1]}', b',"x":[1]}')


@st.composite
def reports(draw: st.DrawFn) -> Report:
    meter, resource = draw(st.sampled_from(NAMES))
    size = len(meter)
    return Report(
        server=draw(st.sampled_from(["fra-1042", "a b/c~!", "é", 'q"\\'])),
        origin=draw(st.sampled_from(["0f5c1e6a-77", "o"])),
        since_ms=draw(_TIMES),
        seq=draw(st.integers(1, 2**62)),
        at_ms=draw(_TIMES),
        at_up_ms=draw(_TIMES),
        sent_up_ms=draw(_TIMES),
        meter=meter,
        resource=resource,
        value=tuple(draw(st.lists(_VALUES, min_size=size, max_size=size))),
    )


def canonical() -> st.SearchStrategy[bytes]:
    return reports().map(encode)


@st.composite
def respelled(draw: st.DrawFn) -> bytes:
    """The same report as other software would write it."""
    items = list(json.loads(encode(draw(reports()))).items())
    if draw(st.booleans()):
        items = draw(st.permutations(items))
    if draw(st.booleans()):
        items.append((draw(st.sampled_from(["x", "V", "Value", "values"])), [{"a": [0.5, None]}]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:")]))
    text = json.dumps(dict(items), separators=separators, ensure_ascii=draw(st.booleans()))
    return text.encode()


def edges(report: Report) -> Iterator[bytes]:
    """Canonical bodies but for one token, just inside or just outside of what is allowed."""
    fields = {
        name.encode(): json.dumps(value, separators=(",", ":")).encode()
        for name, value in json.loads(encode(report)).items()
    }
    for name, tokens in _EDGES.items():
        for token in (*tokens, *_TYPES):
            yield _joined({**fields, name: token})
        yield _joined({known: value for known, value in fields.items() if known != name})
        yield _joined(fields)[:-1] + b',"%s":%s}' % (name, fields[name])
    # The same series twice, with as many counters as names.
    yield _joined({**fields, b"meter": b'["m","m"]', b"resource": b'["",""]', b"value": b"[1,1]"})
    for position in range(len(report.value)):
        for token in _COUNTER_EDGES:
            counters = list(map(b"%d".__mod__, report.value))
            counters[position] = token
            yield _joined({**fields, b"value": b"[%s]" % b",".join(counters)})
    for end in _ENDS:
        yield _joined(fields)[:-1] + end


def _joined(fields: dict[bytes, bytes]) -> bytes:
    return b"{" + b",".join(b'"%s":%s' % field for field in fields.items()) + b"}"


@cache
def all_edges() -> tuple[bytes, ...]:
    return tuple(body for report in USUAL for body in edges(report))


def at_the_edge() -> st.SearchStrategy[bytes]:
    return st.sampled_from(all_edges())


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A canonical body after a few cuts, doublings, swaps and insertions at any byte."""
    body = draw(canonical())
    for _ in range(draw(st.integers(1, 3))):
        a, b, c = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 3)))
        piece = draw(st.sampled_from(HOSTILE))
        body = draw(
            st.sampled_from(
                [
                    body[:a],
                    body[:a] + body[b:],
                    body[:b] + body[a:],
                    body[:a] + body[b:c] + body[a:b] + body[c:],
                    body[:a] + piece + body[a:],
                    body[:a] + piece + body[b:],
                    body[:a] + body[a : a + 1].swapcase() + body[a + 1 :],
                ]
            )
        )
    return body


def huge() -> st.SearchStrategy[bytes]:
    """Nothing under the limit, all over it, or so deep that a reader would run out of stack."""
    padded = st.sampled_from([900_000, 999_500, 1_000_000, 5_000_000]).flatmap(
        lambda size: canonical().map(lambda body: body + b" " * (size - len(body)))
    )
    deep = st.sampled_from([b"[", b'{"a":', b'[{"a":']).map(lambda opening: opening * 100_000)
    return padded | deep


def bodies() -> st.SearchStrategy[bytes]:
    return (
        canonical()
        | respelled()
        | at_the_edge()
        | at_the_edge()
        | mutated()
        | st.binary(max_size=64)
    )
