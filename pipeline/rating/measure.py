"""Step 4: how much each segment measures; one file for each quantity. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pipeline.attribute import Owned
from pipeline.rating.aggregate import aggregate
from pipeline.rating.allocation import allocated
from pipeline.rating.cut import Group
from pipeline.rating.fee import due
from pipeline.rating.hours import started
from pipeline.rating.once import Due, owed
from pipeline.rating.percentile import percentiles
from schemas.billing import Inputs, Scope
from schemas.prices import Allocation, Fee, Hours, Percentile, Sum


def measure(
    scope: Scope, inputs: Inputs, groups: Sequence[Group], owned: Sequence[Owned], as_of: datetime
) -> list[Group]:
    """The groups with what each segment used by ``as_of``; of a pooled percentile only the one
    that pays.
    """
    rates = [group for group in groups if isinstance(group[0].charge.quantity, Percentile)]
    others = [group for group in groups if not isinstance(group[0].charge.quantity, Percentile)]
    fees = any(isinstance(group[0].charge.quantity, Fee) for group in others)
    once = owed(scope, inputs.period) if fees else {}
    found = [_measured(group, inputs, owned, as_of, once) for group in others]
    return found + percentiles(scope, inputs.samples, rates, as_of)


def _measured(
    group: Group, inputs: Inputs, owned: Iterable[Owned], as_of: datetime,
    once: Mapping[Due, int],
) -> Group:  # fmt: skip
    match group[0].charge.quantity:
        case Sum():
            return aggregate(group, owned)
        case Hours():
            return started(group, as_of)
        case Allocation():
            return allocated(group, as_of)
        case Fee():
            return due(group, inputs.period, once)
        case Percentile():
            raise AssertionError("a percentile is measured with its pool")
