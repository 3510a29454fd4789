"""The start of every command: may this Python and this environment run it, then which part does.

Parses and imports on Pythons that rackmeter does not support (from 3.8 on), so that they end in one
sentence. The agent is started without the command line's libraries: a rented machine has neither,
and no need of them.
"""

import sys

PYTHON_MIN = (3, 11)
ROOMS = ("agents", "invoicing", "pipeline", "rackmeter", "schemas", "sinks")
# Top modules of the extra `server` without which no command but `agent` can start.
SERVER_PARTS = ("numpy", "polars", "psycopg", "pydantic", "pydantic_settings", "rich", "typer")
EXIT_CONFIG = 2


def main() -> int:
    """The console script `rackmeter`; returns the exit code."""
    refusal = unsupported_python(sys.version_info[:3]) or shadowed_room()
    if refusal:
        sys.stderr.write(f"rackmeter: {refusal}\n")
        return EXIT_CONFIG
    arguments = sys.argv[1:]
    if arguments[:1] == ["agent"]:
        from agents.main import main as agent  # noqa: PLC0415 - light, and before the others

        return agent(arguments[1:])
    try:
        from rackmeter.cli.main import run  # noqa: PLC0415 - needs the extra `server`
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in SERVER_PARTS:
            raise
        sys.stderr.write(f"rackmeter: {missing_part(error.name)}\n")
        return EXIT_CONFIG
    return run(arguments)


def unsupported_python(version: "tuple[int, ...]") -> "str | None":
    """A sentence when this Python is too old."""
    if version[:2] >= PYTHON_MIN:
        return None
    found = ".".join(map(str, version))
    return (
        f"Python 3.11 or newer is needed and this is {found} ({sys.executable}); install a newer "
        "one, then: python3.11 -m venv .venv && .venv/bin/pip install rackmeter"
    )


def shadowed_room() -> "str | None":
    """A sentence when another distribution has written into one of our import names.

    `openai-agents`, for one, installs a package `agents`: whichever came last would run.
    """
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - not in old Pythons

    owners = packages_distributions()
    for room in ROOMS:
        for other in sorted(set(owners.get(room, ())) - {"rackmeter"}):
            return (
                f"the package {other} in this environment also installs `{room}`, and one has "
                "overwritten the other; install rackmeter into an environment of its own: "
                "pipx install rackmeter, or uv tool install rackmeter"
            )
    return None


def missing_part(name: "str | None") -> str:
    """A sentence for a command that this installation cannot run."""
    return (
        f"{name} is not installed, this is the agent alone; for every other command: "
        "pip install 'rackmeter[server]', with the embedded servers: pip install 'rackmeter[demo]'"
    )


if __name__ == "__main__":
    sys.exit(main())
