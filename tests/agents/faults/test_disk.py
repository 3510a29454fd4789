"""A disk that is full, or fails, or is cut off in the middle of a write."""

import errno
import os
import resource
import signal

import pytest

from tests.agents.faults.site import MakeSite, Site, numbers, small_disk
from tests.fix_worker import wait_for


def test_kill_9_in_the_middle_of_spool_writes(make_site: MakeSite) -> None:
    """While no broker answers, so that everything lies on the disk: no number is missing, none has
    two contents, nothing is lost.
    """
    site = make_site(nics=100)
    for _ in range(6):
        before = site.agents.seq()
        child = site.start(broker=False)
        wait_for(lambda: site.agents.seq() > before, "report")  # noqa: B023 - of this turn
        site.live(site.chance.uniform(0.1, 0.8))
        child.kill()
        child.wait()
    site.delivered()
    (arrived,) = numbers(site.reports()).values()
    assert arrived == [*range(1, arrived[-1] + 1)]
    assert arrived[-1] > 20
    assert site.billed() == site.kernel.used
    assert site.refused() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_megabyte(make_site: MakeSite) -> None:
    """The spool makes room for itself and leaves it for the state; another's file takes even that,
    and the agent counts on, is killed, starts, and counts on.
    """
    site = make_site(nics=300)
    with small_disk(site.state, "1m"):
        (site.state / "others").write_bytes(bytes(600_000))  # the rest is sooner full
        child = site.start(broker=False)
        wait_for(site.asked, "an agent that answers")
        while not made_room(site):
            site.live(0.1)
        before = site.agents.seq()
        wait_for(lambda: site.agents.seq() > before + 2, "reports on a full disk")
        filler = site.state / "filler"
        with pytest.raises(OSError, match="No space") as full:
            filler.write_bytes(bytes(2**20))
        assert full.value.errno == errno.ENOSPC
        wait_for(lambda: site.asked().get("unsaved"), "word of it")
        site.live(0.3)
        child.kill()
        _, said = child.communicate()
        assert "older reports give way" in said
        assert said.count("cannot keep its state") == 1
        child = site.start(broker=False)
        wait_for(lambda: site.asked().get("unsaved"), "an agent on a full disk")
        site.live(0.3)
        assert child.poll() is None, "it counts in memory"
        filler.unlink()
        before = site.agents.seq()
        wait_for(lambda: site.agents.seq() > before, "state saved")
        child.kill()
        child.wait()
        site.delivered(interval_s=0.5)  # large reports, sent by three
        assert (site.state / "spool").exists()
        (arrived,) = numbers(site.reports()).values()
        assert arrived == sorted(arrived)
        assert site.billed() == site.kernel.used
        dropped = site.conn.execute(
            "SELECT sum(quantity) FROM usage WHERE meter = 'agent.spool_dropped_reports'"
        ).fetchone()
        assert dropped is not None
        assert dropped[0] > 0, "the provider knows"
        assert site.refused() == {}


def made_room(site: Site) -> bool:
    """And has said so: what it says while it cannot write is something else."""
    spool = site.asked()["spool"]
    return bool(spool["thinned"]) and not spool["failing"]


def test_no_file_may_grow_for_a_while(make_site: MakeSite) -> None:
    """A quota, from the kernel: every write fails, then all is well again."""
    site = make_site(nics=10)
    child = site.start(broker=False)
    wait_for(lambda: site.agents.seq() > 2, "reports")
    _, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
    for _ in range(3):
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (0, hard))
        wait_for(lambda: site.asked().get("unsaved"), "word of it")
        site.live(site.chance.uniform(0.1, 0.5))
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (hard, hard))
        before = site.agents.seq()
        wait_for(lambda: site.agents.seq() > before, "reports again")  # noqa: B023 - of this turn
    child.send_signal(signal.SIGKILL)
    child.wait()
    site.delivered()
    (arrived,) = numbers(site.reports()).values()
    assert arrived == sorted(arrived)
    assert arrived[-1] - len(arrived) <= 3, "one a turn: saved, not spooled, and killed then"
    assert site.billed() == site.kernel.used


def test_a_spool_whose_tail_is_torn_or_flipped(make_site: MakeSite) -> None:
    """It says how much it could not read; no total is missing."""
    site = make_site(nics=20)
    child = site.start(broker=False)
    wait_for(lambda: site.agents.seq() > 20, "reports")
    site.live(0.3)
    site.reported()
    child.kill()
    child.wait()
    *_, last = sorted((site.state / "spool").iterdir())
    body = bytearray(last.read_bytes())
    if site.chance.random() < 0.5:
        del body[site.chance.randrange(len(body)) :]
    else:
        body[site.chance.randrange(len(body))] ^= 1 << site.chance.randrange(8)
    last.write_bytes(body)
    assert "could not be read" in site.delivered()
    (arrived,) = numbers(site.reports()).values()
    assert arrived == sorted(arrived)
    assert site.billed() == site.kernel.used
