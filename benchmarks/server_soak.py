"""Half an hour of mixed, dropping and hostile traffic: does anything grow or get stuck?

    python benchmarks/server_soak.py [--model FILE] [--minutes 30]

The traffic of `server_chaos.py`, and beside it clients that send what no client should.
Leaves with 1 if an answer was wrong or didn't come, if a hostile request got a 5xx, if
the queue isn't empty in the end, or if memory grew by more than 5 % after warming up.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path

from server_chaos import PROMPTS, Chaos, post
from serving import Server, pokejax_server

from pokejax import Sampler
from pokejax.inference import shipped

HEAD = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n"
JSON = (
    b"POST /api/v1/generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
)
HOSTILE = {
    "endless header": HEAD + b"X-A: " + b"a" * 2_000_000,
    "many headers": HEAD + b"X-A: b\r\n" * 50_000,
    "endless trailer": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: "
    + b"a" * 2_000_000,
    "no http": bytes(range(256)) * 40,
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "large body": JSON + b"Content-Length: 9000000\r\n\r\n" + b" " * 9_000_000,
    "deep body": JSON
    + b"Connection: close\r\nContent-Length: 60000\r\n\r\n"
    + b"[" * 60_000,
    "name twice": JSON
    + b'Connection: close\r\nContent-Length: 30\r\n\r\n{"prompt": "a", "prompt": "b"} ',
    "long control": post("/v1/images/generations", {"prompt": "a" * 30_000 + "\x07"}),
    "large batch": post("/api/v1/batch", {"prompts": ["a"] * 1025}),
}
CLIENTS, ENEMIES = 32, 8
SEEDS, MOST_PICTURES = 3, 4  # of a request in the traffic


async def attack(rng: random.Random, port: int, wrong: list[str]) -> None:
    name = rng.choice(list(HOSTILE))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(HOSTILE[name])
        async with asyncio.timeout(20):
            answer = await reader.read(65536)
        if answer[9:10] == b"5":
            wrong.append(f"{name}: {answer[:100]!r}")
    except ConnectionError:
        pass  # it was hung up on
    except TimeoutError:
        wrong.append(f"stuck: {name}")
    finally:
        writer.close()


async def soak(chaos: Chaos, server: Server, seconds: float) -> list[float]:
    end = time.monotonic() + seconds
    memory: list[float] = []

    async def client() -> None:
        while time.monotonic() < end:
            await chaos.one()

    async def enemy(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < end:
            await attack(rng, chaos.port, chaos.wrong)
            await asyncio.sleep(0.1)

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(seconds / 60)
            memory.append(server.resident_mb())
            print(
                f"{sum(chaos.counts.values())} requests, {memory[-1]:.0f} MB",
                flush=True,
            )

    await asyncio.gather(
        watch(),
        *(client() for _ in range(CLIENTS)),
        *(enemy(n) for n in range(ENEMIES)),
    )
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--minutes", type=float, default=30)
    args = parser.parse_args()
    with pokejax_server(args.model, resume_s=2) as server:
        chaos = Chaos(server.port, Sampler.load(args.model), seed=0, seeds=SEEDS)
        # Before, since drawing here would stop all clients meanwhile.
        for prompt in PROMPTS:
            for seed in range(SEEDS + MOST_PICTURES - 1):
                chaos.png(prompt, seed)
        memory = asyncio.run(soak(chaos, server, 60 * args.minutes))
        time.sleep(3)  # for the last clients' leaving to be noticed
        health = json.loads(server.fetch("/api/v1/health"))
        under_way = server.metrics()["pokejax_requests_under_way"]
    for name, count in sorted(chaos.counts.items()):
        print(f"  {name:22} {count}")
    sixth = len(memory) // 6
    warm = statistics.mean(memory[sixth : 2 * sixth])
    last = statistics.mean(memory[-sixth:])
    print(
        f"{len(chaos.wrong)} wrong; queue {health['queued']}, under way {under_way:g}"
    )
    print(f"memory {warm:.0f} → {last:.0f} MB, {100 * (last / warm - 1):+.1f} %")
    print("\n".join(chaos.wrong[:10]))
    bad = chaos.wrong or health["queued"] or under_way or last > 1.05 * warm
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
