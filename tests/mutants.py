"""A plugin for mutmut: the same examples for every mutant, and none is shrunk.

mutmut 3.7 also asks pytest for a name that pytest 9 dropped; its successor needs a click that
faust-streaming does not accept.
"""

import pytest
from hypothesis import Phase, settings

settings.register_profile(
    "mutants", derandomize=True, database=None, deadline=None,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
pytest.Item._nodeid = property(lambda item: item.nodeid)  # type: ignore[attr-defined]
