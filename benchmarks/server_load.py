"""Throughput and latency of the service at 1, 16 and 64 clients, beside the original's.

    make parity && .venv-parity/bin/pip install fastapi uvicorn httptools
    python benchmarks/server_load.py --torch-python .venv-parity/bin/python

prints a table; it takes about seven minutes. The load comes from this process, the
servers run in others, one at a time, each warmed first; the whole is repeated in turns,
so that a machine that slows down slows all. They are: the service with the shipped
model, by one worker and by two; a plain FastAPI and PyTorch server of the original's
design (`benchmarks/torch_server.py`) with a model of its layers, whose weights are
random; and the service with that same model.

`--sides` adds others: the service with one picture a call of the device, which keeps
the bytes the same and leaves the rest of the tile idle, and with a tile of one row,
which does no idle work and rounds a few pixels otherwise.

Prompts and seeds differ from request to request, and a prompt comes back: as from
people who draw the same thing several times. Processor time per request is the number
to look at on a machine that is busy with other things.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from serving import Server, pokejax_server, started

from pokejax.config import load as load_config
from pokejax.inference import bundle, shipped
from pokejax.inference.bundle import Header, new_model
from pokejax.text import load_text_encoder


class Side(NamedTuple):
    """A server to measure; `settings` are None for the one in PyTorch."""

    told: str
    original: bool = False  # its layers, not the shipped model
    workers: int = 1
    settings: Mapping[str, Any] | None = {}


SIDES = {
    "one": Side("the service, one worker"),
    "two": Side("the service, two workers", workers=2),
    "torch": Side("FastAPI and PyTorch, the original's layers", True, settings=None),
    "original": Side("the service, the original's layers", True),
    "single": Side("the service, one picture a call", settings={"max_batch": 1}),
    "row": Side("the service, a tile of one row", settings={"tile_rows": 1}),
}
USUAL = ("one", "two", "torch", "original")


@dataclass
class Result:
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    recompilations: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def throughput(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, p: int) -> float:
        return 1000 * statistics.quantiles(self.latencies, n=100)[p - 1]


async def client(number: int, port: int, until: float, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    i = 0
    while time.perf_counter() < until:
        i += 1
        body = json.dumps(
            {
                "prompt": f"a small blue water turtle number {(number * 7 + i) % 200}",
                "seed": number * 100_000 + i,
            }
        ).encode()
        start = time.perf_counter()
        writer.write(
            b"POST /api/v1/generate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        answer = await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        result.latencies.append(time.perf_counter() - start)
        if b" 200 " not in head[:20] or b"data:image/png" not in answer:
            result.errors += 1
    writer.close()


async def load(port: int, clients: int, seconds: float) -> Result:
    result = Result()
    begin = time.perf_counter()
    until = begin + seconds
    await asyncio.gather(*(client(n, port, until, result) for n in range(clients)))
    result.seconds = time.perf_counter() - begin
    return result


def write_original(path: Path) -> None:
    """A model of the original's layers; what its weights are takes no time."""
    config = load_config("original64")
    encoder = load_text_encoder(config.text)
    header = Header(config, encoder.dim, encoder.identity, 0, 0.0)
    bundle.write(path, header, nnx.state(new_model(header, rngs=nnx.Rngs(0))))


def server_of(
    side: Side, model: Path, torch_python: Path | None
) -> AbstractContextManager[Server]:
    if side.settings is None:
        script = str(Path(__file__).with_name("torch_server.py"))
        return started([str(torch_python), script, "--model", str(model)], {})
    return pokejax_server(model, workers=side.workers, **side.settings)


def measure(side: Side, model: Path, args: argparse.Namespace) -> dict[int, Result]:
    """What a server does at each number of clients."""
    results: dict[int, Result] = {}
    with server_of(side, model, args.torch_python) as server:
        for clients in args.clients:
            asyncio.run(load(server.port, clients, 0.2 * args.seconds))  # warm
            before = server.cpu_seconds()
            result = asyncio.run(load(server.port, clients, args.seconds))
            result.cpu_seconds = server.cpu_seconds() - before
            if side.settings is not None:
                result.recompilations = server.metrics()["pokejax_recompilations"]
            results[clients] = result
    return results


def row(side: Side, clients: int, runs: list[Result]) -> str:
    """A line of the table; means over all rounds."""
    mean = statistics.mean
    cpu = mean(run.cpu_seconds / len(run.latencies) for run in runs)
    told = (
        side.told,
        clients,
        f"{mean(run.throughput for run in runs):.1f}",
        f"{mean(run.percentile(50) for run in runs):.0f}",
        f"{mean(run.percentile(95) for run in runs):.0f}",
        f"{1000 * cpu:.1f}",
    )
    return f"| {' | '.join(map(str, told))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--torch-python", type=Path, help="that has torch and fastapi")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=USUAL)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    sides = {name: SIDES[name] for name in args.sides}
    if args.torch_python is None and sides.pop("torch", None):
        print("without --torch-python, FastAPI and PyTorch are left out")
    print(f"load average before: {os.getloadavg()[0]:.1f}", flush=True)
    runs: dict[str, list[dict[int, Result]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder) / "original.safetensors"
        write_original(original)
        for turn in range(args.rounds):
            for name, side in sides.items():
                print(f"round {turn + 1}: {side.told}", flush=True)
                model = original if side.original else args.model
                runs[name].append(measure(side, model, args))
    print("\n| server | clients | requests/s | p50, ms | p95, ms | CPU, ms/request |")
    print("|---|---|---|---|---|---|")
    every = [
        result for each in runs.values() for run in each for result in run.values()
    ]
    for name, side in sides.items():
        for clients in args.clients:
            print(row(side, clients, [run[clients] for run in runs[name]]))
    errors = sum(result.errors for result in every)
    recompilations = sum(result.recompilations for result in every)
    print(f"\n{errors} errors, {recompilations:g} recompilations")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
