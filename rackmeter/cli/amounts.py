"""Amounts of money as people write them."""

import re
from decimal import Decimal
from typing import Final

from rackmeter.errors import ConfigError

_AMOUNT: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?")


def amount(option: str, text: str) -> Decimal:
    """Digits, exactly: 119.00. What minor units it may have, its currency says."""
    if not _AMOUNT.fullmatch(text) or not Decimal(text):
        raise ConfigError(f"{option} is {text}; write an amount above nothing, as 119.00.")
    return Decimal(text)
