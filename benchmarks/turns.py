"""Workers that take turns: each framework in a process of its own, one at a time.

Two frameworks in one process share its memory allocator and fight over cores with idle
but spinning threads; two benchmarks one after the other see a different machine. Here
every side lives in its own process and waits at a pipe until it is told to go.

Neighbours on the same cores still distort a comparison: a thread pool that splits work
evenly and then waits (OpenMP) suffers far more from them than one that takes work piece
by piece. So the load before the start and the cores that each side got are printed;
believe a ratio only where the load was near zero and the cores were all there.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tqdm import tqdm


class Turn(NamedTuple):
    """Seconds a call, and how many cores were busy with it."""

    seconds: float
    cores: float


def serve(prepare: Callable[[], Callable[[], Any]], calls: int, about: str) -> None:
    """Be a worker: prepare, then time `calls` calls for each line on stdin.

    Args:
      prepare: gives the function to time; its first call, which compiles, comes before
        any timing.
      calls: how many a turn.
      about: what is reported of this side, e.g. its version.
    """
    answers = os.dup(1)
    os.dup2(2, 1)  # what a framework prints doesn't belong among the answers
    run = prepare()
    start = time.perf_counter()
    run()
    _say(answers, {"about": about, "first": time.perf_counter() - start})
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            run()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        _say(answers, {"seconds": seconds / calls, "cores": cpu / seconds})


def take_turns(
    sides: Sequence[str], script: str, arguments: Sequence[str], rounds: int
) -> dict[str, list[Turn]]:
    """Time all sides in turns; the order changes from round to round.

    Args:
      sides: passed to the script as `--side NAME`, one worker each.
      script: the file to run, which then calls `serve`.
      arguments: of the script, the same for all sides.
      rounds: how many turns each side gets, after one that is thrown away.

    Returns:
      The turns by side, one per round; a side that didn't start is left out, and the
      last line of what it said is printed.

    Raises:
      SystemExit: no side starts, or one stops in the middle.
    """
    print(f"  load of the machine before the start: {os.getloadavg()[0]:.1f}")
    turns: dict[str, list[Turn]] = {}
    with ExitStack() as stack, tqdm(total=rounds + 1) as bar:
        workers: dict[str, subprocess.Popen[str]] = {}
        for side in sides:
            bar.set_description(f"starting {side}")
            worker = _start([sys.executable, script, "--side", side, *arguments], stack)
            if worker is not None:
                workers[side], turns[side] = worker, []
        if not workers:
            raise SystemExit("error: no side started")
        bar.set_description("taking turns")
        for round_ in range(rounds + 1):
            order = list(workers)
            order = order[round_ % len(order) :] + order[: round_ % len(order)]
            for side in order:
                print("go", file=workers[side].stdin, flush=True)
                answer = _answer(workers[side])
                if answer is None:
                    raise SystemExit(f"error: {side} stopped in the middle")
                if round_:
                    turns[side].append(Turn(**answer))
            bar.update()
    return turns


def _start(command: list[str], stack: ExitStack) -> "subprocess.Popen[str] | None":
    """A worker that has prepared itself, or None; it ends when `stack` closes."""
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115
    stack.callback(log.close)
    worker = stack.enter_context(
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    )
    stack.callback(worker.terminate)
    side = command[command.index("--side") + 1]
    hello = _answer(worker)
    if hello is None:
        worker.wait()
        log.seek(0)
        last = (log.read().strip() or "no message").splitlines()[-1]
        tqdm.write(f"  {side}: did not start: {last}")
        return None
    tqdm.write(f"  {side}: {hello['about']}, first call {hello['first']:.1f} s")
    return worker


def table(turns: dict[str, list[Turn]], ours: str, pictures: int) -> None:
    """Print medians, and how much faster `ours` is: the median over rounds.

    Rounds are compared with themselves, so that a neighbour's load hits both sides.
    """
    print(f"\n{'':24}{'median ms':>10}{'pictures/s':>12}{'cores busy':>12}", end="")
    print(f"{'ours is':>10}" if ours in turns else "")
    for side, own in turns.items():
        seconds = statistics.median(turn.seconds for turn in own)
        cores = statistics.median(turn.cores for turn in own)
        rate = pictures / seconds
        print(f"{side:24}{1e3 * seconds:10.2f}{rate:12.1f}{cores:12.2f}", end="")
        if ours in turns:
            pairs = zip(own, turns[ours], strict=True)
            ratio = statistics.median(a.seconds / b.seconds for a, b in pairs)
            print(f"{ratio:9.2f}x", end="")
        print()


def use_threads(count: int) -> None:
    """Give this process the first `count` cores; before a framework is imported."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:count])


def _say(answers: int, message: dict[str, Any]) -> None:
    os.write(answers, (json.dumps(message) + "\n").encode())


def _answer(worker: subprocess.Popen[str]) -> dict[str, Any] | None:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    return json.loads(line) if line else None
