"""A short schedule, another one each time, played for real; and what it is made of can fail.

``make chaos SEED=… KILLS=…`` plays longer ones and repeats what is printed here.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sinks.database import Connection
from tests.chaos.outcome import Outcome, verdicts
from tests.chaos.picture import draw, drawn_from
from tests.chaos.play import play
from tests.chaos.schedule import schedule
from tests.chaos.watch import Sample
from tests.chaos.worker import arm

KILLS = 4
REACH = """
import sys
from pathlib import Path
from tests.chaos.worker import failpoint
reached = failpoint(Path(sys.argv[1]))
for step in sys.argv[2:]:
    reached(step)
    print(step, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)  # the schedule itself is over after half a minute
def test_whatever_happens_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    wanted = schedule(seed, KILLS, 2, kafka=False)
    print(f"make chaos SEED={seed} KILLS={KILLS}\n{wanted}")
    found = asyncio.run(play(wanted, tmp_path, on_kafka=False, workers=2, servers=1, say=print))
    print(json.dumps(found.document(), indent=1))
    assert found.wrong == []
    assert (found.lost, found.doubled) == (0, 0)
    assert found.kills >= KILLS
    assert found.figures > 1_000
    assert min(found.samples[-1].positions) > 0


def reach(folder: Path, *steps: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REACH, str(folder), *steps],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_failpoint_acts_at_its_step_once(tmp_path: Path) -> None:
    folder = tmp_path / "failpoints"
    folder.mkdir()
    arm(folder / "1", "b", 2, "kill")
    arm(folder / "2", "c", 9, "kill")
    first = reach(folder, "a", "b", "a", "b", "a")
    assert (first.stdout.split(), first.returncode) == (["a", "b", "a"], -signal.SIGKILL)
    again = reach(folder, "a", "b", "a", "b", "a", "c")
    assert (len(again.stdout.split()), again.returncode) == (6, 0)
    assert [file.name for file in folder.iterdir()] == ["2"]


def test_a_failpoint_can_stop_and_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "failpoints"
    folder.mkdir()
    arm(folder / "1", "a", 1, "stop")
    process = subprocess.Popen([sys.executable, "-c", REACH, str(folder), "a"])
    deadline = time.monotonic() + 60
    while os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(folder.iterdir()) == []
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0


def test_verdicts_that_are_missing_or_too_many_are_found(billing: Connection) -> None:
    """One forged report, and no dead letter of it."""
    billing.execute(
        "INSERT INTO ingest_topic (topic_id, cluster_id, name, partitions, ts_type)"
        " VALUES ('00000000-0000-0000-0000-000000000001', 'c', 't', 1, 'CreateTime')"
    )
    billing.execute(
        "INSERT INTO ingest_offset (topic_id, part, counts)"
        ' SELECT topic_id, 0, \'{"accepted": 2, "forged": 1}\' FROM ingest_topic'
    )
    due = {"accepted": 2, "forged": 1}
    assert [said.partition(" are")[0] for said in verdicts(billing, due, 0)] == ["dead letters"]
    billing.execute(
        'INSERT INTO dead_letter (topic_id, part, "offset", reason, detail, payload, headers,'
        " append_ms) SELECT topic_id, 0, 0, 'forged', '', '', '[]', 0 FROM ingest_topic"
    )
    assert list(verdicts(billing, due, 0)) == []
    for wrong, repeated in (({"accepted": 3, "forged": 1}, 0), ({"accepted": 2}, 0), (due, 1)):
        assert [said.partition(" are")[0] for said in verdicts(billing, wrong, repeated)] == [
            "verdicts"
        ]


def test_a_picture_shows_every_kill_and_the_last_position() -> None:
    out = Outcome(7, 1_000, kills=2, killed_s=[4.0, 20.0], sent=[(30.0, 900)])
    out.samples = [Sample(1.0, (10, 0)), Sample(31.0, (600, 400))]
    drawn = draw(json.loads(json.dumps(drawn_from(out))))
    assert drawn.count('class="kill"') == 2
    assert "2 workers killed, 1,000 reports, 0 lost, 0 doubled (seed 7)" in drawn
