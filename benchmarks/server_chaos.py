"""10,000 mixed requests, a fifth of whose clients leave at random: is all still well?

    python benchmarks/server_chaos.py --model runs/quickstart/model.safetensors

Checks that every answer is right to the byte (against the library, in this process),
that nothing is stuck, that memory doesn't grow, that nothing was compiled after ready,
and that the queue is empty in the end. Leaves with 1 if anything was wrong.
"""

import argparse
import asyncio
import base64
import collections
import json
import random
import re
import sys
import time
import urllib.parse
from pathlib import Path

from serving import Server, pokejax_server

from pokejax import Sampler
from server.files import Look, encode

PROMPTS = [
    f"a {size} {color} {creature}"
    for size in ("tiny", "huge")
    for color in ("red", "blue", "green", "purple", "yellow")
    for creature in ("dragon", "fish", "ghost")
]
KINDS = {
    "generate": 5,
    "stream": 2,
    "download": 2,
    "openai": 2,
    "openai stream": 1,
    "variations": 1,
    "wrong": 1,
    "health": 1,
}


class Chaos:
    def __init__(self, port: int, sampler: Sampler, seed: int, seeds: int = 40):
        self.port = port
        self.seeds = seeds  # of pictures
        self.sampler = sampler
        self.rng = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.expected: dict[tuple[str, int], bytes] = {}

    def png(self, prompt: str, seed: int) -> bytes:
        key = (prompt, seed)
        if key not in self.expected:
            (sample,) = self.sampler.generate(prompt, seed=seed)
            self.expected[key] = encode(sample, Look())
        return self.expected[key]

    def request(self, kind: str, prompt: str, seed: int, num: int) -> bytes:
        quoted = urllib.parse.quote(prompt)
        body = {"prompt": prompt, "seed": seed}
        if kind == "stream":
            query = f"prompt={quoted}&seed={seed}&num_samples={num}"
            return get(f"/api/v1/generate/stream?{query}")
        if kind == "download":
            return get(f"/api/v1/download?prompt={quoted}&seed={seed}")
        if kind == "health":
            return get("/api/v1/health")
        if kind == "generate":
            return post("/api/v1/generate", body | {"num_samples": num})
        if kind == "variations":
            more = {"num_samples": num, "strength": 0}
            return post("/api/v1/variations", body | more)
        if kind == "wrong":
            return post("/api/v1/generate", body | {"seed": -1})
        stream = {"stream": True, "partial_images": 1} if kind != "openai" else {}
        return post("/v1/images/generations", body | {"n": num} | stream)

    async def one(self) -> None:
        rng = self.rng
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        prompt, seed = rng.choice(PROMPTS), rng.randrange(self.seeds)
        num = 1 if kind == "download" else rng.choice([1, 1, 1, 2, 4])
        leaves = rng.random() < 0.2
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            request = self.request(kind, prompt, seed, num)
            if leaves:
                writer.write(request[: rng.randint(1, len(request))])
                await asyncio.sleep(rng.random() * 0.05)
                self.counts["left"] += 1
                return
            writer.write(request)
            async with asyncio.timeout(60):
                answer = await reader.read()
            self.check(kind, prompt, seed, num, answer)
        except TimeoutError:
            self.wrong.append(f"stuck: {kind}")
        finally:
            writer.close()

    def check(self, kind: str, prompt: str, seed: int, num: int, answer: bytes) -> None:
        status = int(answer[9:12] or b"0")
        self.counts[f"{kind} {status}"] += 1
        if status == 429:
            return
        if status != (400 if kind == "wrong" else 200):
            self.wrong.append(f"{kind}: {answer[:200]!r}")
        elif kind == "download":
            got = [answer.partition(b"\r\n\r\n")[2]]
            self.compare(kind, prompt, [seed], got)
        elif kind not in ("wrong", "health"):
            got = pictures(kind, answer)
            same = kind == "variations"
            seeds = [seed if same else seed + i for i in range(num)]
            self.compare(kind, prompt, seeds, got)

    def compare(
        self, kind: str, prompt: str, seeds: list[int], got: list[bytes]
    ) -> None:
        if got != [self.png(prompt, seed) for seed in seeds]:
            self.wrong.append(f"{kind}: other bytes for {prompt!r} {seeds}")


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


def post(path: str, body: dict) -> bytes:
    data = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type:"
        f" application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data


def pictures(kind: str, answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head:
        body = unchunk(body)
    if kind == "stream":
        events = re.findall(rb"event: image\ndata: (.*)\n", body)
        urls = [json.loads(data)["image"] for data in events]
    elif kind == "openai":
        urls = [image["b64_json"] for image in json.loads(body)["data"]]
    elif kind == "openai stream":
        events = re.findall(rb"event: image_generation.completed\ndata: (.*)\n", body)
        urls = [json.loads(data)["b64_json"] for data in events]
    else:
        urls = json.loads(body)["images"]
    return [base64.b64decode(url.rpartition(",")[2]) for url in urls]


def unchunk(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        parts.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(parts)


async def storm(
    chaos: Chaos, requests: int, clients: int, server: Server
) -> list[float]:
    left = requests
    memory: list[float] = []

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            if left % max(1, requests // 10) == 0:
                memory.append(server.resident_mb())
                print(f"{requests - left} requests, {memory[-1]:.0f} MB", flush=True)
            await chaos.one()

    await asyncio.gather(*(client() for _ in range(clients)))
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with pokejax_server(args.model, resume_s=2) as server:
        chaos = Chaos(server.port, Sampler.load(args.model), args.seed)
        begin = time.perf_counter()
        memory = asyncio.run(storm(chaos, args.requests, args.clients, server))
        took = time.perf_counter() - begin
        time.sleep(3)  # for streams to be forgotten
        health = json.loads(server.fetch("/api/v1/health"))
        numbers = server.metrics()
    for name, count in sorted(chaos.counts.items()):
        print(f"  {name:22} {count}")
    under_way = numbers["pokejax_requests_under_way"]
    dropped = {k: v for k, v in numbers.items() if "dropped" in k}
    recompiled = numbers["pokejax_recompilations"]
    print(f"{args.requests} requests in {took:.0f} s, {len(chaos.wrong)} wrong")
    print(f"queue {health['queued']}, under way {under_way:g}, dropped {dropped}")
    print(
        f"recompilations {recompiled:g}; memory {memory[1]:.0f} → {memory[-1]:.0f} MB"
    )
    print("\n".join(chaos.wrong[:10]))
    grown = memory[-1] - memory[len(memory) // 2]
    bad = chaos.wrong or health["queued"] or under_way or recompiled or grown > 20
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
