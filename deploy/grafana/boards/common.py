"""Variables, colours and links that several boards share."""

from typing import Final

from deploy.grafana.panels import Column, Variable, link_to

GRAIN: Final = Variable("grain", "Grain", "variables/grain", on_time_range=True, hidden=True)
"""The view that usage is read from: hours, and UTC days when more than three are shown."""

PERCENT_GOOD: Final = ((None, "red"), (90.0, "orange"), (99.0, "green"))
PERCENT_USED: Final = ((None, "green"), (80.0, "orange"), (100.0, "red"))
NONE_IS_GOOD: Final = ((None, "green"), (1.0, "red"))

TIME: Final = Column(unit="dateTimeAsIso")
ACCOUNT: Final = Column(link=link_to("customer", account="${__value.text}"))
SERVER: Final = Column(
    link=link_to("customer", account="${__data.fields.account}", server="${__value.text}")
)
"""A server's traffic stands on its customer's board; the row's column ``account`` says whose."""
