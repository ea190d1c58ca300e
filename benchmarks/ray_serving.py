"""What Ray Serve costs a request, what a second replica brings, and what was predicted.

    pip install 'pokejax[ray,capacity,server]'
    PYTHONPATH=. python benchmarks/ray_serving.py --model MODEL

serves a model by one process alone, then by one and by two replicas on a Ray cluster of
this machine. On few cores two replicas would only take turns, so the device is stood in
for by a pause (`--pause`): each tile takes that long, whatever the processor does
meanwhile, as if it were drawn on an accelerator of its own. All else is real.

What one replica showed is all that the simulation of `capacity.py` is given.
"""

# pyright: reportMissingImports=false

import argparse
import asyncio
import logging
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import uvicorn
from capacity import Outcome, simulate
from ray import serve
from ray.serve.config import HTTPOptions
from server_load import Result, load
from serving import free_port, started

from pokejax.inference import shipped
from pokejax.inference.sampler import Sampler
from server.ray_app import deployed, middlewares


def paused() -> Any:
    """The application, in a replica's process, with the pause for a device."""
    from server.app import app

    pause, rounds = float(os.environ["PAUSE"]), Sampler.rounds

    def slowly(self: Sampler, *args: Any, **options: Any) -> Iterator[Any]:
        start = time.monotonic()
        drawn = list(rounds(self, *args, **options))
        time.sleep(max(0.0, pause - (time.monotonic() - start)))
        yield from drawn

    Sampler.rounds = slowly
    return app


def told(name: str, result: Result) -> None:
    p50, p95 = result.percentile(50), result.percentile(95)
    print(f"| {name} | {result.throughput:.2f} | {p50:.0f} | {p95:.0f} |", flush=True)


def measured(port: int, clients: int, seconds: float) -> Result:
    """One load, after a warm-up of a fifth of it."""
    asyncio.run(load(port, clients, seconds / 5))
    result = asyncio.run(load(port, clients, seconds))
    if result.errors:
        raise SystemExit(f"{result.errors} requests failed")
    return result


def wait_until_ready(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/ready", timeout=600)


def on_ray(counts: Sequence[int], measure: Callable[[int, int], None]) -> None:
    """Call `measure(port, replicas)` for each number of replicas on one cluster."""
    port = free_port()
    ray.init(
        num_cpus=1 + max(counts),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    try:
        options = HTTPOptions(host="127.0.0.1", port=port, middlewares=middlewares())
        serve.start(http_options=options)
        for count in counts:
            serve.run(deployed({"replicas": count}, paused), route_prefix="/")
            wait_until_ready(port)
            measure(port, count)
        serve.shutdown()
    finally:
        ray.shutdown()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds a tile")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=40, help="of each load")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # of a side alone
    args = parser.parse_args(argv)
    os.environ |= {"PAUSE": str(args.pause), "POKEJAX_MODEL": str(args.model.resolve())}
    # Of several clusters' replicas, the same key, so that nothing differs but Ray.
    os.environ["POKEJAX_RESUME_KEY"] = "a key"
    if args.port:
        uvicorn.run(paused(), port=args.port, access_log=False, ws="none")
        return
    print(f"load average before: {os.getloadavg()[0]:.1f}; pause {args.pause:g} s")
    print("\n| | requests/s | p50, ms | p95, ms |\n|---|---|---|---|")
    results: dict[tuple[str, int], Result] = {}
    alone = [sys.executable, __file__, "--model", str(args.model)]
    with started([*alone, "--pause", str(args.pause)], {}) as server:
        results["alone", 1] = measured(server.port, 1, args.seconds)
        told("without Ray, 1 client", results["alone", 1])
        results["alone", args.clients] = measured(
            server.port, args.clients, args.seconds
        )
        told(f"without Ray, {args.clients} clients", results["alone", args.clients])

    def measure(port: int, count: int) -> None:
        for clients in (1, args.clients):
            name = f"{count} replica{'s' * (count > 1)}"
            result = measured(port, clients, args.seconds)
            results[name, clients] = result
            told(f"{name}, {clients} client{'s' * (clients > 1)}", result)

    on_ray((1, 2), measure)
    lone = results["1 replica", 1]
    cost = lone.percentile(50) - results["alone", 1].percentile(50)
    print(f"\nRay costs a request {cost:.0f} ms")
    overheads = [seconds - args.pause for seconds in lone.latencies]
    for count in (1, 2):
        name = f"{count} replica{'s' * (count > 1)}"
        real = results[name, args.clients]
        said = simulate(
            count, [args.pause], overheads, clients=args.clients, requests=5000
        )
        compare(f"{name}, {args.clients} clients", real, said)
    print(f"(median overhead given: {1000 * statistics.median(overheads):.0f} ms)")


def compare(name: str, real: Result, said: Outcome) -> None:
    """Print how far the simulation is off."""
    pairs = {
        "requests/s": (real.throughput, said.throughput),
        "p50": (real.percentile(50), 1000 * said.percentile(50)),
        "p95": (real.percentile(95), 1000 * said.percentile(95)),
    }
    parts = [f"{k} {b:.2f} ({b / a - 1:+.0%})" for k, (a, b) in pairs.items()]
    print(f"simulated, {name}: {', '.join(parts)}")


if __name__ == "__main__":
    main()
