"""Which series still fit into a report. Pure.

Whatever an origin ever metered may have to be shown at once, so all of it must fit one message: a
series for which there is no room is not metered, and no report is ever too large to be sent.
"""

import json
from collections.abc import Collection, Iterable
from typing import Final

from agents.sample import Sample, Series
from schemas.report import MESSAGE_BYTES_MAX, SERIES_MAX, VALUE_MAX

SERIES_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 10_000
"""Names and values of all series in a report; server and origin have 256 characters at most, each
12 bytes when escaped.
"""


def beyond_a_report(metered: Collection[Series], samples: Iterable[Sample]) -> dict[Series, None]:
    """The series of these samples that are left out, first come, first served."""
    found = dict.fromkeys((sample.meter, sample.resource) for sample in samples)
    new = [series for series in found if series not in metered]
    if not new:
        return {}
    left_out, count, size = dict[Series, None](), len(metered), sum(map(_bytes_max, metered))
    for series in new:
        if count == SERIES_MAX or size + _bytes_max(series) > SERIES_BYTES_MAX:
            left_out[series] = None
        else:
            count, size = count + 1, size + _bytes_max(series)
    return left_out


def _bytes_max(series: Series) -> int:
    """In a report: both names, a value, three commas."""
    return len(json.dumps(series[0]) + json.dumps(series[1]) + str(VALUE_MAX)) + 3
