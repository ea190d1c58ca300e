"""What Ray Serve costs a request, what a second replica brings, and what was predicted.

    pip install 'pokejax[ray,capacity,server]'
    PYTHONPATH=. python benchmarks/ray_serving.py

serves a model by one process alone, then by one and by two replicas on a Ray cluster of
this machine. On few cores two replicas would only take turns, so the device is stood in
for by a pause (`--pause`): each tile takes that long, as if it were drawn on an
accelerator of its own, and the model is one that draws in a few milliseconds. All else
is real.

What one replica showed is all that the simulation of `capacity.py` is given.
"""

# pyright: reportMissingImports=false

import argparse
import asyncio
import http.client
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ray
import uvicorn
from capacity import Outcome, simulate
from ray import serve
from ray.serve.config import HTTPOptions
from server_load import Result, load, write_original
from serving import free_port, started

from pokejax.inference.sampler import Sampler
from server.ray_app import deployed

_TILE = 8


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


def measured(port: int, clients: int, seconds: float) -> Result:
    """One load, after a warm-up of a fifth of it."""
    asyncio.run(load(port, clients, seconds / 5))
    result = asyncio.run(load(port, clients, seconds))
    if result.errors:
        raise SystemExit(f"{result.errors} requests failed")
    return result


def hop(port: int) -> float:
    """Median milliseconds of a request that draws nothing."""
    took: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(500):
        start = time.perf_counter()
        connection.request("GET", "/api/v1/health")
        connection.getresponse().read()
        took.append(1000 * (time.perf_counter() - start))
    connection.close()
    return statistics.median(took)


def wait_until_ready(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/ready", timeout=600)


def on_ray(counts: Sequence[int], measure: Callable[[int, int], None]) -> None:
    """Call `measure(port, replicas)` for each number of replicas on one cluster."""
    port = free_port()
    os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = "server.lost:middlewares"
    ray.init(
        num_cpus=1 + max(counts),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    try:
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        for count in counts:
            serve.run(deployed({"replicas": count}, paused), route_prefix="/")
            wait_until_ready(port)
            measure(port, count)
        serve.shutdown()
    finally:
        ray.shutdown()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pause", type=float, default=0.192, help="seconds a tile")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=15, help="of each load")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # of a side alone
    args = parser.parse_args(argv)
    os.environ |= {"PAUSE": str(args.pause), "POKEJAX_TILE_ROWS": str(_TILE)}
    # Of several clusters' replicas, the same key, so that nothing differs but Ray.
    os.environ["POKEJAX_RESUME_KEY"] = "a key"
    if args.port:
        uvicorn.run(paused(), port=args.port, access_log=False, ws="none")
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        # In a process of its own: Ray starts others, which JAX doesn't take well.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(write_original, model).result()
        os.environ["POKEJAX_MODEL"] = str(model)
        run(args)


def run(args: argparse.Namespace) -> None:
    """Measure all three, print a line of each load, and compare."""
    print(f"load average before: {os.getloadavg()[0]:.1f}; pause {args.pause:g} s")
    print("\n| | clients | requests/s | p50, ms | p95, ms |\n|---|---|---|---|---|")
    results: dict[tuple[int, int], Result] = {}
    hops: list[float] = []

    def measure(port: int, replicas: int) -> None:
        name = {0: "without Ray", 1: "1 replica"}.get(replicas, f"{replicas} replicas")
        hops.append(hop(port))
        for clients in (1, args.clients):
            result = measured(port, clients, args.seconds)
            results[replicas, clients] = result
            p50, p95 = result.percentile(50), result.percentile(95)
            numbers = f"{result.throughput:.1f} | {p50:.0f} | {p95:.0f}"
            print(f"| {name} | {clients} | {numbers} |", flush=True)

    with started([sys.executable, __file__, "--pause", str(args.pause)], {}) as server:
        measure(server.port, 0)
    on_ray((1, 2), measure)
    told = ", ".join(f"{each:.1f}" for each in hops)
    print(f"\nms of a request that draws nothing, in this order: {told}")
    overheads = [seconds - args.pause for seconds in results[1, 1].latencies]
    print(f"beside its tile, one takes {1000 * statistics.median(overheads):.0f} ms")
    for count in (1, 2):
        real = results[count, args.clients]
        said = simulate(
            count,
            [args.pause],
            overheads,
            tile=_TILE,
            clients=args.clients,
            requests=5000,
        )
        compare(f"{count} of {args.clients} clients", real, said)


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
