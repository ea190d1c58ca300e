"""How many replicas a load takes: a simulation of replicas that draw in tiles.

    pip install 'pokejax[capacity]'
    python benchmarks/capacity.py --draw-ms 41 --overhead-ms 15 --rate 120

prints throughput and latencies for 1, 2, 4 and 8 replicas. The two times come from one
replica: what its device takes for a tile, however full (`pokejax_draw_seconds`), and
what a single request takes beyond that.
"""

# pyright: reportMissingImports=false

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy


@dataclass
class Outcome:
    """What requests for one picture each met with.

    Attributes:
      latencies: of each after the warm-up, seconds.
      seconds: that these took together.
      busy: the part of the time in which a replica's device was drawing, on average.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def throughput(self) -> float:
        """Pictures a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, p: int) -> float:
        """Of the latencies, seconds."""
        return statistics.quantiles(self.latencies, n=100)[p - 1]


class Replica:
    """A queue and a device, which takes what waits, a tile at most, and draws it."""

    def __init__(self, world: Any, tile: int, draws: Sequence[float], rng: Any):
        self._world, self._tile, self._draws, self._rng = world, tile, draws, rng
        self._waiting: list[Any] = []
        self._awake = world.event()
        self.in_hands = 0
        self.busy = 0.0
        world.process(self._run())

    def draw(self) -> Any:
        """Queue a picture; the event is when it's drawn."""
        done = self._world.event()
        self._waiting.append(done)
        if not self._awake.triggered:
            self._awake.succeed()
        return done

    def _run(self) -> Any:
        while True:
            if not self._waiting:
                self._awake = self._world.event()
                yield self._awake
            taken = self._waiting[: self._tile]
            del self._waiting[: self._tile]
            seconds = self._rng.choice(self._draws)
            yield self._world.timeout(seconds)
            self.busy += seconds
            for done in taken:
                done.succeed()


def simulate(
    replicas: int,
    draws: Sequence[float],
    overheads: Sequence[float],
    *,
    tile: int = 8,
    rate: float = 0.0,
    clients: int = 0,
    requests: int = 20_000,
    seed: int = 0,
) -> Outcome:
    """Requests for one picture each, sent to the less busy of two replicas.

    Args:
      replicas: how many, 1 or more.
      draws: what a tile took, seconds; each is as likely.
      overheads: what a request took beyond its tile, likewise.
      tile: pictures that a device draws at a time.
      rate: requests a second, at random times; 0: only `clients` ask.
      clients: that each ask anew as soon as they are answered.
      requests: how many, of which the first tenth isn't counted.
      seed: of the random choices.
    """
    world, rng, outcome = simpy.Environment(), random.Random(seed), Outcome()
    pool = [Replica(world, tile, draws, rng) for _ in range(replicas)]
    begun, ended, warm = 0, world.event(), requests // 10
    counted_from = busy_before = 0.0
    answered = 0

    def request() -> Any:
        nonlocal answered, counted_from, busy_before
        start = world.now
        two = rng.sample(pool, min(2, replicas))
        replica = min(two, key=lambda each: each.in_hands)
        replica.in_hands += 1
        yield world.timeout(rng.choice(overheads))
        yield replica.draw()
        replica.in_hands -= 1
        answered += 1
        if answered == warm:
            counted_from, busy_before = world.now, sum(each.busy for each in pool)
        elif answered > warm:
            outcome.latencies.append(world.now - start)
        if answered == requests:
            ended.succeed()

    def client() -> Any:
        nonlocal begun
        while begun < requests:
            begun += 1
            yield world.process(request())

    def arrivals() -> Any:
        nonlocal begun
        while begun < requests:
            begun += 1
            yield world.timeout(rng.expovariate(rate))
            world.process(request())

    if rate:
        world.process(arrivals())
    for _ in range(clients):
        world.process(client())
    world.run(ended)
    outcome.seconds = world.now - counted_from
    drawn = sum(each.busy for each in pool) - busy_before
    outcome.busy = drawn / outcome.seconds / replicas
    return outcome


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw-ms", type=float, required=True, help="of a tile")
    parser.add_argument("--overhead-ms", type=float, default=5, help="of a request")
    parser.add_argument("--tile", type=int, default=4, help="pictures; 32 on a GPU")
    parser.add_argument("--rate", type=float, default=0, help="requests a second")
    parser.add_argument("--clients", type=int, default=0, help="that ask all the time")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8])
    args = parser.parse_args(argv)
    if not (args.rate or args.clients):
        parser.error("nobody asks; expected --rate, --clients or both")
    print("| replicas | pictures/s at best | answered/s | p50, ms | p95, ms | busy |")
    print("|---|---|---|---|---|---|")
    for count in args.replicas:
        best = 1000 * count * args.tile / args.draw_ms
        if args.rate >= best:
            print(f"| {count} | {best:.1f} | the queue grows without end | | | |")
            continue
        outcome = simulate(
            count,
            [args.draw_ms / 1000],
            [args.overhead_ms / 1000],
            tile=args.tile,
            rate=args.rate,
            clients=args.clients,
        )
        p50, p95 = (1000 * outcome.percentile(p) for p in (50, 95))
        print(
            f"| {count} | {best:.1f} | {outcome.throughput:.1f} | {p50:.0f} | {p95:.0f}"
            f" | {outcome.busy:.0%} |"
        )


if __name__ == "__main__":
    main()
