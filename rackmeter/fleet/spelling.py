"""One report as agents of other versions and other software write it. Pure.

All of these say the same; only a later version of the wire is not understood.
"""

import json
from enum import StrEnum

from schemas.report import VERSION, Report, encode


class Spelling(StrEnum):
    """How a server's agent writes."""

    CANONICAL = "canonical"
    EXTENDED = "extended"
    PRETTY = "pretty"
    ESCAPED = "escaped"
    SORTED = "sorted"
    UPGRADED = "upgraded"
    """Of the next version for some time, until somebody takes that back."""


def spelled(spelling: Spelling, report: Report) -> bytes:
    """The body of a report."""
    body = encode(report)
    match spelling:
        case Spelling.EXTENDED:
            more = b',"agent":"2.4.0","labels":[{"rack":"r12","v":2}],"load":0.75,"at":null}'
            return body[:-1] + more
        case Spelling.PRETTY:
            return json.dumps(json.loads(body), indent=1).encode() + b"\n"
        case Spelling.ESCAPED:
            return body.replace(b'"net.', rb'"\u006eet.').replace(b'"server"', rb'"\u0073erver"')
        case Spelling.SORTED:
            return json.dumps(json.loads(body), sort_keys=True, separators=(", ", " : ")).encode()
        case _:
            return body


def upgraded(report: Report) -> bytes:
    """The body as a later version of the wire might have it."""
    later = b'"v":%d,"shape":"columns"' % (VERSION + 1)
    return encode(report).replace(b'"v":%d' % VERSION, later, 1)
