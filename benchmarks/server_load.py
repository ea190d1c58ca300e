"""Throughput and latency of the service under 64 clients, beside two others.

    python benchmarks/server_load.py --model runs/quickstart/model.safetensors \
      [--torch-python .venv-torch/bin/python] [--num-samples 1] [--seconds 10]

The load comes from this process, the servers run in others, one at a time, each warmed
first; the whole is repeated in turns, so that a machine that slows down slows all. They
are: the service; the service with one picture a call of the device, which keeps the
bytes the same and leaves the rest of the tile idle; the service with a tile of one row,
which does no idle work (and rounds a few pixels otherwise); and a plain FastAPI and
PyTorch server of the original's design (`benchmarks/torch_server.py`).

Prompts and seeds differ from request to request, and a prompt comes back: as from
people who draw the same thing several times. Processor time per request is the number
to look at on a machine that is busy with other things.
"""

import argparse
import asyncio
import json
import statistics
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from serving import Server, pokejax_server, started


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


async def client(
    number: int, port: int, num_samples: int, until: float, result: Result
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    i = 0
    while time.perf_counter() < until:
        i += 1
        body = json.dumps(
            {
                "prompt": f"a small blue water turtle number {(number * 7 + i) % 200}",
                "num_samples": num_samples,
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


async def load(port: int, args: argparse.Namespace, seconds: float) -> Result:
    result = Result()
    begin = time.perf_counter()
    until = begin + seconds
    await asyncio.gather(
        *(client(n, port, args.num_samples, until, result) for n in range(args.clients))
    )
    result.seconds = time.perf_counter() - begin
    return result


def server_of(kind: str, args: argparse.Namespace) -> AbstractContextManager[Server]:
    if kind == "torch":
        script = str(Path(__file__).with_name("torch_server.py"))
        return started([str(args.torch_python), script, "--model", str(args.model)], {})
    settings = {"one a call": {"max_batch": 1}, "tile of one": {"tile_rows": 1}}
    return pokejax_server(args.model, **settings.get(kind, {}))


def measure(kind: str, args: argparse.Namespace) -> Result:
    with server_of(kind, args) as server:
        asyncio.run(load(server.port, args, 2.0))  # warm
        before = server.cpu_seconds()
        result = asyncio.run(load(server.port, args, args.seconds))
        result.cpu_seconds = server.cpu_seconds() - before
        if kind != "torch":
            result.recompilations = server.metrics()["pokejax_recompilations"]
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--torch-python", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--num-samples", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    kinds = ["batched", "one a call", "tile of one"]
    kinds += ["torch"] if args.torch_python else []
    results: dict[str, list[Result]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            results[kind].append(measure(kind, args))
    print(f"{args.clients} clients, {args.num_samples} pictures a request")
    base = statistics.mean(r.throughput for r in results["batched"])
    for kind, runs in results.items():
        mean = statistics.mean(r.throughput for r in runs)
        cpu = statistics.mean(r.cpu_seconds / len(r.latencies) for r in runs)
        p50 = statistics.mean(r.percentile(50) for r in runs)
        p95 = statistics.mean(r.percentile(95) for r in runs)
        print(
            f"{kind:12} {mean:7.1f} requests/s  p50 {p50:7.1f} ms  p95 {p95:7.1f} ms"
            f"  server CPU {1000 * cpu:6.2f} ms/request"
            f"  errors {sum(r.errors for r in runs)}"
            f"  recompilations {sum(r.recompilations for r in runs):g}"
            f"  batched is {base / mean:.2f}x"
        )


if __name__ == "__main__":
    main()
