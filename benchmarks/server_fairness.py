"""How long does one picture take beside clients that ask for very many?

    python benchmarks/server_fairness.py [--model FILE] [--seconds 20]

Six clients of one address send interpolations of 60 frames without a pause; one of
another address (127.0.0.2, which Linux has) asks for single pictures, one at a time.
The same is measured without the six.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path

import httpx
from serving import pokejax_server

from pokejax.inference import shipped

HEAVY = 6


async def post(client: httpx.AsyncClient, path: str, **body: object) -> float:
    start = time.perf_counter()
    answer = await client.post(f"/api/v1/{path}", json={"prompt": "a fish", **body})
    answer.raise_for_status()
    return time.perf_counter() - start


async def measure(url: str, seconds: float, heavy: int) -> tuple[list[float], int]:
    end = time.perf_counter() + seconds
    walks = 0

    async def walk(client: httpx.AsyncClient) -> None:
        nonlocal walks
        while time.perf_counter() < end:
            await post(client, "interpolate", seed=1, to_seed=2, frames=60)
            walks += 1

    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with (
        httpx.AsyncClient(base_url=url, timeout=120) as many,
        httpx.AsyncClient(base_url=url, timeout=120, transport=transport) as one,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(heavy):
            group.create_task(walk(many))
        await asyncio.sleep(1)
        took: list[float] = []
        while time.perf_counter() < end:
            took.append(await post(one, "generate", seed=len(took)))
    return took, walks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    with pokejax_server(args.model) as server:
        for heavy in (0, HEAVY):
            url = f"http://127.0.0.1:{server.port}"
            took, walks = asyncio.run(measure(url, args.seconds, heavy))
            p95 = sorted(took)[int(0.95 * len(took))]
            print(
                f"{heavy} heavy clients: {len(took)} single pictures, p50"
                f" {1000 * statistics.median(took):.0f} ms, p95 {1000 * p95:.0f} ms;"
                f" {60 * walks} frames",
                flush=True,
            )


if __name__ == "__main__":
    main()
