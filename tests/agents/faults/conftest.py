"""A site for each test, with a seed of its own."""

import random
from pathlib import Path

import pytest

from sinks.database import Connection
from tests.agents.faults.site import MakeSite, Site, new_site
from tests.fix_agents import Agents


@pytest.fixture
def make_site(
    tmp_path: Path, bootstrap: str, billing_url: str, billing: Connection, agents: Agents
) -> MakeSite:
    """``agents`` ends what a test leaves running."""

    def make(nics: int = 1, seed: int | None = None, broker: str = bootstrap) -> Site:
        given = random.randrange(2**32) if seed is None else seed
        site = new_site(tmp_path, broker, billing_url, billing, nics=nics, seed=given)
        site.agents.children = agents.children
        return site

    return make
