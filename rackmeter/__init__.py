"""The application: settings, command line, embedded stack, wiring. No other room imports it."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed distribution, or a marker when run from a bare checkout."""
    try:
        return version("rackmeter")
    except PackageNotFoundError:
        return "0+checkout"
