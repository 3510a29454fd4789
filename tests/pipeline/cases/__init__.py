"""The rules of billable counters as tables, one file a rule: reports in, windows out, one sentence
why. ``test_counters`` meters each of them in every way.
"""

from itertools import chain

from tests.pipeline.cases import (
    clocks,
    contract,
    coverage,
    first_reports,
    identity,
    origins,
    series,
    splits,
    tails,
)

TABLES = (first_reports, splits, identity, contract, series, origins, tails, clocks, coverage)
CASES = tuple(chain.from_iterable(table.CASES for table in TABLES))
