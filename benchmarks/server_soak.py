"""Half an hour of mixed, dropping and hostile traffic: does anything grow or get stuck?

    python benchmarks/server_soak.py [--model FILE] [--minutes 30] [--json FILE]

Clients with four keys, and without a pause, ask for single pictures, streams, streams
that break and go on, batches, interpolations and edits, in the service's own shape and
OpenAI's; a fifth of them leave at a random moment. Beside them, from another address,
come those who mean no good: endless headers and bodies, slow ones, bombs, wrong keys.
Every file is compared to the byte with what the library draws in this process.

Ctrl-C ends it early, with what there is. Leaves with 1 if an answer was wrong or didn't
come, if any got a 5xx, if the queue isn't empty in the end, or if memory grew by more
than 5 % after the first sixth.
"""

import argparse
import asyncio
import base64
import collections
import io
import json
import os
import random
import re
import signal
import statistics
import sys
import time
import urllib.parse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from server_chaos import PROMPTS, get, pictures, post, unchunk
from serving import Server, pokejax_server

from pokejax import Sampler
from pokejax.images.given import read_picture
from pokejax.inference import shipped
from pokejax.inference.recipe import Recipe, Start, between, recipes_for
from pokejax.prompts.parse import parse_prompt
from server.files import Look, encode

KEYS = [f"client-{i}" for i in range(4)]
ENEMY_KEY, ENEMY_ADDRESS = "enemy", "127.0.0.2"
# After a few of those, not even the right key is accepted from an address.
GUESS, GUESSER_ADDRESS = "wrong key", "127.0.0.3"
# Kind of a request -> how often it comes.
KINDS = {
    "single": 6,
    "download": 2,
    "openai": 2,
    "openai stream": 1,
    "stream": 2,
    "resumed": 2,
    "batch": 1,
    "interpolate": 1,
    "edit": 2,
    "wrong": 1,
}
SEEDS, MOST_PICTURES, FRAMES, WALKS, EDITS = 3, 4, 8, 4, 8

HEAD = b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\n"


class References:
    """What the library draws, as files that the service should send."""

    def __init__(self, sampler: Sampler):
        self.sampler = sampler
        self.single: dict[tuple[str, int], bytes] = {}
        self.walks: list[tuple[dict[str, Any], list[bytes]]] = []
        self.edits: list[tuple[dict[str, Any], list[bytes]]] = []

    def draw_all(self) -> None:
        """All at once and before: drawing later would stop all clients meanwhile."""
        seeds = range(SEEDS + MOST_PICTURES - 1)
        asked = [(prompt, seed) for prompt in PROMPTS for seed in seeds]
        files = self._files([self._recipe(*pair) for pair in asked])
        self.single = dict(zip(asked, files, strict=True))
        for i in range(WALKS):
            body = {"prompt": PROMPTS[i], "seed": i, "frames": FRAMES}
            body |= {"to_prompt": PROMPTS[-1 - i], "to_seed": i + 1}
            end = parse_prompt(PROMPTS[-1 - i])
            towards = Recipe(end.prompt, end.attributes, i + 1)
            first = self._recipe(PROMPTS[i], i)
            steps = [between(first, towards, j / (FRAMES - 1)) for j in range(FRAMES)]
            self.walks.append((body, self._files(steps)))
        for i in range(EDITS):
            given = self.single[PROMPTS[i], 0]
            picture = read_picture(given, self.sampler.image_size)
            start = Start.of(picture, strength=0.5)
            body = {"prompt": PROMPTS[-1 - i], "seed": i, "strength": 0.5}
            recipe = self._recipe(PROMPTS[-1 - i], i, start=start)
            body["image"] = base64.b64encode(given).decode()
            self.edits.append((body, self._files([recipe])))

    def _recipe(self, prompt: str, seed: int, **more: Any) -> Recipe:
        colors = self.sampler.usual_colors
        (recipe,) = recipes_for(parse_prompt(prompt), [seed], colors=colors, **more)
        return recipe

    def _files(self, recipes: list[Recipe]) -> list[bytes]:
        return [encode(sample, Look()) for sample in self.sampler.sample(recipes)]


class Traffic:
    """Clients, good and bad, and what became of their requests."""

    def __init__(self, port: int, references: References, patience_s: float):
        self.port = port
        self.references = references
        self.patience_s = patience_s
        self.statuses: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.wrong: list[str] = []
        self.stuck: list[str] = []

    async def one(self, rng: random.Random) -> None:
        """One request of a client that means well, but may leave."""
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        request, expected = self._request(rng, kind)
        if rng.random() < 0.2:
            await self._leave(rng, request)
        elif kind == "resumed":
            answers = await self._broken(rng, request)
            self._check(kind, answers, expected)
        elif (answer := await self._ask(kind, request)) is not None:
            self._check(kind, [answer], expected)

    def _request(self, rng: random.Random, kind: str) -> tuple[bytes, list[bytes]]:
        """A request, and the files that should come."""
        prompt, seed = rng.choice(PROMPTS), rng.randrange(SEEDS)
        num = rng.choice([1, 1, 2, MOST_PICTURES]) if kind != "download" else 1
        body: dict[str, Any] = {"prompt": prompt, "seed": seed}
        expected = [self.references.single[prompt, seed + i] for i in range(num)]
        query = urllib.parse.urlencode(body)
        match kind:
            case "single":
                request = post("/api/v1/generate", body | {"num_samples": num})
            case "download":
                request = get(f"/api/v1/download?{query}")
            case "openai":
                request = post("/v1/images/generations", body | {"n": num})
            case "openai stream":
                body |= {"n": num, "stream": True, "partial_images": 1}
                request = post("/v1/images/generations", body)
            case "stream" | "resumed":
                more = f"&num_samples={num}"
                request = get(f"/api/v1/generate/stream?{query}{more}")
            case "batch":
                both = [prompt, rng.choice(PROMPTS)]
                seeds = [seed, seed + 1]
                expected = [self.references.single[p, s] for p in both for s in seeds]
                request = post("/api/v1/batch", {"prompts": both, "seeds": seeds})
            case "interpolate":
                body, expected = rng.choice(self.references.walks)
                request = post("/api/v1/interpolate", body)
            case "edit":
                body, expected = rng.choice(self.references.edits)
                request = post("/api/v1/edit", body)
            case _:
                expected = []
                request = post("/api/v1/generate", body | {"seed": -1})
        return with_key(request, rng.choice(KEYS)), expected

    async def _ask(
        self, kind: str, request: bytes, until: bytes = b"", address: str = "127.0.0.1"
    ) -> bytes | None:
        """The answer, or its beginning up to `until`; None if none came."""
        reader, writer = await asyncio.open_connection(
            # Previews of several pictures come before the first that is finished.
            "127.0.0.1",
            self.port,
            local_addr=(address, 0),
            limit=2**24,
        )
        try:
            writer.write(request)
            async with asyncio.timeout(self.patience_s):
                if not until:
                    return await reader.read()
                begun = await reader.readuntil(until)
                return begun + await reader.readuntil(b"\n\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except TimeoutError:
            self.stuck.append(kind)
        except ConnectionError:  # it was hung up on in the middle of its request
            return b""
        finally:
            writer.close()
        return None

    async def _leave(self, rng: random.Random, request: bytes) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request[: rng.randint(1, len(request))])
        await asyncio.sleep(rng.random() * 0.5)
        writer.close()
        self.statuses["left"]["-"] += 1

    async def _broken(self, rng: random.Random, request: bytes) -> list[bytes]:
        """A stream that breaks after its first picture, and what comes after that."""
        first = await self._ask("resumed", request, until=b"event: image\n")
        if first is None or not (ids := re.findall(rb"id: (\S+)", first)):
            return [] if first is None else [first]
        back = get("/api/v1/generate/stream").replace(
            b"Host: a", b"Host: a\r\nLast-Event-ID: " + ids[-1]
        )
        rest = await self._ask("resumed", with_key(back, rng.choice(KEYS)))
        return [] if rest is None else [first, rest]

    def _check(self, kind: str, answers: list[bytes], expected: list[bytes]) -> None:
        got: list[bytes] = []
        for answer in answers:
            status = answer[9:12].decode() or "none"
            self.statuses[kind][status] += 1
            if status == "429":
                return
            if status != ("400" if kind == "wrong" else "200"):
                self.wrong.append(f"{kind}: {answer[:300]!r}")
                return
            got += [] if kind == "wrong" else files_in(kind, answer)
        if answers and got != expected:
            same = [a == b for a, b in zip(got, expected, strict=False)]
            self.wrong.append(f"{kind}: other bytes, {len(got)} files, {same}")

    async def attack(self, rng: random.Random) -> None:
        """One request of somebody who means no good."""
        name = rng.choice([*HOSTILE, "takes nothing"])
        if name == "takes nothing":
            await self._take_nothing()
            return
        address = GUESSER_ADDRESS if name == GUESS else ENEMY_ADDRESS
        answer = await self._ask(name, HOSTILE[name](), address=address)
        if answer is not None:
            status = answer[9:12].decode() or "hung up"
            self.statuses[f"hostile: {name}"][status] += 1
            if status == "200" and name not in ("large picture", "endless trailer"):
                self.wrong.append(f"{name}: {answer[:100]!r}")

    async def _take_nothing(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1)
        body = {"prompts": PROMPTS[:1], "seeds": list(range(200)), "scale": 8}
        writer.write(with_key(post("/api/v1/batch", body), ENEMY_KEY))
        await asyncio.sleep(15)
        writer.close()
        self.statuses["hostile: takes nothing"]["-"] += 1


def with_key(request: bytes, key: str) -> bytes:
    return request.replace(b"Host: a", f"Host: a\r\nX-API-Key: {key}".encode(), 1)


def files_in(kind: str, answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    if kind == "download":
        return [body]
    if kind == "batch":
        content = unchunk(body) if b"chunked" in head else body
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(name) for name in archive.namelist()[:-1]]
    if kind == "resumed":  # its first part ends in the middle of a chunk
        events = re.findall(rb"event: image\ndata: (.*)\n", answer)
        urls = [json.loads(data)["image"] for data in events]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]
    return pictures(kind, answer)


def picture(width: int, height: int, mode: str) -> str:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def hostile_edit(image: str) -> Callable[[], bytes]:
    return lambda: with_key(
        post("/api/v1/edit", {"prompt": "a", "image": image, "seed": 1}), ENEMY_KEY
    )


def hostile(
    request: bytes, repeated: bytes = b"", times: int = 0
) -> Callable[[], bytes]:
    """A request that is made anew each time, as it may be large."""
    return lambda: with_key(request, ENEMY_KEY) + repeated * times


JSON = HEAD.replace(b"GET /api/v1/health", b"POST /api/v1/generate") + (
    b"Connection: close\r\nContent-Type: application/json\r\n"
)
TRAILER = HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: "
HOSTILE: dict[str, Callable[[], bytes]] = {
    "endless header": hostile(HEAD + b"X-A: ", b"a", 2_000_000),
    "many headers": hostile(HEAD, b"X-A: b\r\n", 50_000),
    "endless trailer": hostile(TRAILER, b"a", 2_000_000),
    "slow header": hostile(HEAD + b"X-A: "),
    "slow body": hostile(JSON + b"Content-Length: 100\r\n\r\n{"),
    "no http": hostile(b"", bytes(range(256)), 40),
    "no host": hostile(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
    "large body": hostile(JSON + b"Content-Length: 9000000\r\n\r\n", b" ", 9_000_000),
    "deep body": hostile(JSON + b"Content-Length: 60000\r\n\r\n", b"[", 60_000),
    "name twice": hostile(
        JSON + b'Content-Length: 30\r\n\r\n{"prompt": "a", "prompt": "b"} '
    ),
    "long control": hostile(
        post("/v1/images/generations", {"prompt": "a" * 30_000 + "\x07"})
    ),
    "large batch": hostile(post("/api/v1/batch", {"prompts": ["a"] * 1025})),
    GUESS: lambda: with_key(get("/api/v1/attributes"), "guess"),
    "forged event": hostile(
        get("/api/v1/generate/stream").replace(
            b"Host: a", b"Host: a\r\nLast-Event-ID: " + b"0" * 16 + b"-1-" + b"A" * 200
        )
    ),
    "bomb": hostile_edit(picture(12_000, 12_000, "1")),
    "large picture": hostile_edit(picture(4096, 4096, "RGB")),
    "no picture": hostile_edit(base64.b64encode(bytes(100_000)).decode()),
}


async def soak(
    traffic: Traffic, server: Server, seconds: float, clients: int, enemies: int
) -> list[float]:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_later(seconds, over.set)
    loop.add_signal_handler(signal.SIGINT, over.set)
    memory: list[float] = []

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        while not over.is_set():
            await traffic.one(rng)

    async def enemy(seed: int) -> None:
        rng = random.Random(seed)
        while not over.is_set():
            await traffic.attack(rng)
            await asyncio.sleep(0.5)

    async def watch() -> None:
        while not over.is_set():
            await asyncio.sleep(seconds / 60)
            memory.append(server.resident_mb())
            asked = sum(map(collections.Counter.total, traffic.statuses.values()))
            print(f"{asked} requests, {memory[-1]:.0f} MB", flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for n in range(clients):
            group.create_task(client(n))
        for n in range(enemies):
            group.create_task(enemy(1000 + n))
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--enemies", type=int, default=8)
    parser.add_argument(
        "--deadline-s",
        type=float,
        default=30,
        help="of the service; more where it gets little of the processor (default: 30)",
    )
    parser.add_argument("--json", type=Path, help="file for all numbers")
    args = parser.parse_args()
    references = References(Sampler.load(args.model))
    references.draw_all()
    settings = {
        "api_keys": ",".join([*KEYS, ENEMY_KEY]),
        "deadline_s": args.deadline_s,
        "resume_s": 2,
    }
    with pokejax_server(args.model, **settings) as server:
        traffic = Traffic(server.port, references, patience_s=2 * args.deadline_s + 30)
        started = time.time()
        work = soak(traffic, server, 60 * args.minutes, args.clients, args.enemies)
        memory = asyncio.run(work)
        took = time.time() - started
        time.sleep(3)  # for the last clients' leaving to be noticed
        health = json.loads(server.fetch("/api/v1/health"))
        numbers = server.metrics(KEYS[0])
    sixth = max(1, len(memory) // 6)
    # Medians, since a large picture takes some hundred megabytes while it is decoded.
    warm = statistics.median(memory[sixth : 2 * sixth])
    last = statistics.median(memory[-sixth:])
    statuses = {kind: dict(sorted(n.items())) for kind, n in traffic.statuses.items()}
    result = {
        "seconds": round(took),
        "requests": sum(sum(n.values()) for n in statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "wrong": traffic.wrong,
        "stuck": traffic.stuck,
        "5xx": sum(
            count for n in statuses.values() for s, count in n.items() if s[0] == "5"
        ),
        "queued in the end": health["queued"],
        "under way in the end": numbers["pokejax_requests_under_way"],
        "recompilations": numbers["pokejax_recompilations"],
        "memory, MB": [round(mb) for mb in memory],
        "growth, %": round(100 * (last / warm - 1), 2),
        "load average": os.getloadavg(),
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    for kind, counts in result["statuses"].items():
        told = ", ".join(f"{count} x {status}" for status, count in counts.items())
        print(f"| {kind} | {told} |")
    print("\n".join(traffic.wrong[:10]))
    for name in ("requests", "seconds", "5xx", "recompilations"):
        print(f"{name}: {result[name]:g}")
    print(f"wrong: {len(traffic.wrong)}, stuck: {len(traffic.stuck)}")
    print(f"queued: {health['queued']}, under way: {result['under way in the end']:g}")
    print(f"memory: {warm:.0f} → {last:.0f} MB, {result['growth, %']:+.2f} %")
    left = health["queued"] or result["under way in the end"]
    bad = traffic.wrong or traffic.stuck or result["5xx"] or left or last > 1.05 * warm
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
