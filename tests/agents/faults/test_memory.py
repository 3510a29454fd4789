"""What an agent remembers is lost, torn, or put back to what it was."""

import shutil

import pytest

from tests.agents.faults.site import MakeSite, numbers
from tests.fix_worker import wait_for


def test_a_restored_disk_image(make_site: MakeSite) -> None:
    """The machine went on, then its disk was put back and it booted: former numbers are repeated
    with the same content, and what came after the image is billed from where it arrived.
    """
    site = make_site(nics=3)
    image = site.agents.folder / "image"
    child = site.start(broker=True)
    wait_for(site.agents.seq, "first report")
    site.live(0.5)
    site.reported()
    site.agents.stop(child)
    shutil.copytree(site.state, image, ignore=shutil.ignore_patterns("*.sock"))
    child = site.start(broker=False)
    site.live(0.5)
    site.reported()
    child.kill()
    child.wait()
    site.delivered()
    shutil.rmtree(site.state)
    shutil.copytree(image, site.state)
    site.kernel.boot()
    site.live(0.5)
    site.delivered()
    numbers(site.reports())
    assert site.billed() == site.kernel.used
    assert site.refused() == {}


def test_a_state_folder_put_back_under_a_running_machine(make_site: MakeSite) -> None:
    """Numbers are used twice until it is past the former ones: the meter refuses those as
    conflicts, and the totals come out right.
    """
    site = make_site(nics=3)
    backup = site.agents.folder / "backup"
    child = site.start(broker=True)
    wait_for(site.agents.seq, "first report")
    site.agents.stop(child)
    shutil.copytree(site.state, backup, ignore=shutil.ignore_patterns("*.sock"))
    site.live(0.3)
    site.delivered()
    past = site.agents.seq()
    shutil.rmtree(site.state)
    shutil.copytree(backup, site.state)
    site.live(0.3)
    child = site.start(broker=True)
    wait_for(lambda: site.agents.seq() > past + 1, "numbers past the former ones")
    site.agents.stop(child)
    site.delivered()
    assert site.billed() == site.kernel.used
    assert site.refused().keys() <= {"conflict"}


@pytest.mark.parametrize("how", ["torn", "gone"])
def test_a_lost_state_and_a_spool_that_is_left(make_site: MakeSite, how: str) -> None:
    """A new origin from the present values; what was reported before waits in the spool, so
    nothing is lost that a report had shown.
    """
    site = make_site(nics=3)
    child = site.start(broker=False)
    wait_for(site.agents.seq, "first report")
    site.live(0.5)
    site.reported(2)
    child.kill()
    child.wait()
    file = site.agents.state_file
    body = file.read_bytes()
    file.unlink()
    if how == "torn":
        file.write_bytes(body[: site.chance.randrange(len(body))])
    child = site.start(broker=False)
    wait_for(site.asked, "an agent that answers")
    site.live(0.5)
    site.reported()
    child.kill()
    child.wait()
    site.delivered()
    former, new = numbers(site.reports()).values()
    assert former == [*range(1, former[-1] + 1)]
    assert new[0] == 1
    assert site.billed() == site.kernel.used


def test_an_outage_through_three_boots(make_site: MakeSite) -> None:
    """Each boot's reports wait in order, and are dated by their own boot's clock."""
    site = make_site(nics=3)
    for _ in range(3):
        child = site.start(broker=False)
        wait_for(site.asked, "an agent that answers")
        site.live(0.4)
        site.reported()
        child.kill()
        child.wait()
        site.kernel.boot()
    site.delivered()
    reports = site.reports()
    assert all(arrived == [*range(1, arrived[-1] + 1)] for arrived in numbers(reports).values())
    assert len(numbers(reports)) == 4
    first = [one for one in reports if one["origin"] == reports[0]["origin"]]
    ages_ms = [one["sent_up_ms"] - one["at_up_ms"] for one in first]
    assert ages_ms[0] > 1_000, "it waited through the others"
    assert site.billed() == site.kernel.used
