"""The exceptions with exit codes, re-exported: they live in schemas, below every room."""

from schemas.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    ConfigError,
    DependencyError,
    DifferenceError,
    RackmeterError,
    RefusedError,
)

__all__ = [
    "EXIT_DONE",
    "EXIT_INTERRUPTED",
    "ConfigError",
    "DependencyError",
    "DifferenceError",
    "RackmeterError",
    "RefusedError",
]
