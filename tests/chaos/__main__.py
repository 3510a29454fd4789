"""``python -m tests.chaos --seed 1 --kills 20``: ends with 1 when anything is wrong.

JSON on stdout, progress on stderr.
"""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rackmeter.fleet.log import REPLAYS
from rackmeter.log import configure_logging
from tests.chaos.outcome import Outcome
from tests.chaos.picture import draw, drawn_from
from tests.chaos.play import play
from tests.chaos.schedule import APART_MS, schedule

MESSAGES_PER_SERVER, MESSAGES_PER_FAULT = 200, 1_500


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Kill workers; lose nothing.")
    parser.add_argument("--seed", type=int, help="of schedule and fleet; a new one if not given")
    parser.add_argument("--kills", type=int, default=20, help="faults that kill a worker")
    parser.add_argument(
        "--apart", type=float, default=APART_MS / 1000, help="seconds from commit to fault"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--servers", type=int, help="of the fleet; by the schedule's length if not")
    parser.add_argument("--broker", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--only", metavar="N,N", help="these faults of the schedule alone")
    parser.add_argument("--data", type=Path, help="write what a picture is drawn from")
    parser.add_argument("--picture", type=Path, help="draw it, as SVG")
    return parser.parse_args()


def _main() -> int:
    given = _arguments()
    configure_logging(level="warning")
    seed = random.randrange(2**32) if given.seed is None else given.seed
    wanted = schedule(
        seed, given.kills, given.workers,
        kafka=given.broker == "kafka", apart_ms=int(given.apart * 1000),
    )  # fmt: skip
    if given.only is not None:
        kept = [int(n) for n in given.only.split(",") if n]
        wanted = replace(wanted, faults=tuple(wanted.faults[n] for n in kept))
    each = MESSAGES_PER_SERVER * (1 + REPLAYS * wanted.replay)
    servers = given.servers or len(wanted.faults) * MESSAGES_PER_FAULT // each
    folder = Path(tempfile.mkdtemp(prefix="rackmeter-chaos-"))
    out = asyncio.run(
        play(
            wanted, folder, on_kafka=given.broker == "kafka", workers=given.workers,
            servers=servers, say=_say,
        )
    )  # fmt: skip
    print(json.dumps(out.document(), indent=1))
    _draw(given, out)
    if out.wrong:
        _say(f"wrong; logs and ledger are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _draw(given: argparse.Namespace, out: Outcome) -> None:
    found = drawn_from(out)
    if given.data:
        given.data.write_text(json.dumps(found), encoding="utf-8")
    if given.picture:
        given.picture.write_text(draw(found), encoding="utf-8")


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(_main())
