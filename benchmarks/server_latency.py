"""What the service adds to one picture's decoding, and the first request after ready.

    python benchmarks/server_latency.py --model runs/quickstart/model.safetensors

One client, one request at a time, on one connection. The decode time is measured in
this process by the same sampler, right before and after, while the server is idle.
"""

import argparse
import http.client
import json
import statistics
import time
from pathlib import Path

from serving import pokejax_server

from pokejax import Sampler


def decode_ms(sampler: Sampler, count: int) -> float:
    times = []
    for i in range(count):
        begin = time.perf_counter()
        sampler.generate("a small blue water turtle", seed=i)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


def ask(connection: http.client.HTTPConnection, seed: int) -> float:
    body = json.dumps({"prompt": "a small blue water turtle", "seed": seed})
    begin = time.perf_counter()
    connection.request(
        "POST", "/api/v1/generate", body, {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return 1000 * (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--starts", type=int, default=3)
    args = parser.parse_args()
    sampler = Sampler.load(args.model)
    sampler.warm_up()
    for _ in range(args.starts):
        with pokejax_server(args.model) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            first = [ask(connection, seed) for seed in range(10)]
            before = decode_ms(sampler, args.requests // 2)
            times = [ask(connection, seed) for seed in range(args.requests)]
            decode = (before + decode_ms(sampler, args.requests // 2)) / 2
            p50 = statistics.median(times)
            p95 = statistics.quantiles(times, n=20)[-1]
            print(
                f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, decode {decode:.1f} ms,"
                f" overhead {p50 - decode:.1f} ms; first request after ready"
                f" {first[0]:.1f} ms, tenth {first[9]:.1f} ms"
            )
            connection.close()


if __name__ == "__main__":
    main()
