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
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

SERVE = """
import sys, uvicorn, pokejax.inference.sampler
from server.app import app
pokejax.inference.sampler._TILE_ROWS_CPU = {tile}
uvicorn.run(app, port={port}, log_level="error", ws="none", http="httptools")
"""


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


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(kind: str, args: argparse.Namespace) -> tuple[subprocess.Popen, int]:
    port = free_port()
    env = dict(os.environ, POKEJAX_MODEL=str(args.model))
    if kind == "torch":
        script = str(Path(__file__).with_name("torch_server.py"))
        model = ["--model", str(args.model), "--port", str(port)]
        command = [str(args.torch_python), script, *model]
    else:
        if kind == "one a call":
            env["POKEJAX_MAX_BATCH"] = "1"
        tile = 1 if kind == "tile of one" else 8
        command = [sys.executable, "-c", SERVE.format(tile=tile, port=port)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/ready").close()
            return process, port
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"the server {kind!r} did not come up")


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


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def recompilations(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("pokejax_recompilations "):
                return float(line.split()[1])
    return -1.0


def run(kind: str, args: argparse.Namespace) -> Result:
    process, port = start(kind, args)
    try:
        asyncio.run(load(port, args, 2.0))  # warm
        before = cpu_seconds(process.pid)
        result = asyncio.run(load(port, args, args.seconds))
        result.cpu_seconds = cpu_seconds(process.pid) - before
        if kind != "torch":
            result.recompilations = recompilations(port)
        return result
    finally:
        process.terminate()
        process.wait(30)


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
            results[kind].append(run(kind, args))
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
