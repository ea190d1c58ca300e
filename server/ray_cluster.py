"""The command that serves by several replicas, on a Ray cluster of this machine."""

# Of the extra `ray`, which is in no lock file.
# pyright: reportMissingImports=false

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from pokejax import startup
from pokejax.arguments import Parser

from .ray_app import build
from .settings import PREFIX, SettingsError, read_settings


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=f"python -m {__package__}.ray_cluster",
        description="Serve by several replicas on a Ray cluster of this machine alone.",
        epilog="settings are variables, as of the service without Ray",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="port to listen on (default: 8000)"
    )
    parser.add_argument("--model", type=Path, help="bundle, or a run's directory")
    parser.add_argument(
        "--replicas", default="1", help="how many, or 1-8 to scale (default: 1)"
    )
    parser.add_argument(
        "--cpus", type=int, help="of which each replica takes one (default: all)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; 2 on bad input."""
    args = parse_arguments(argv)
    if args.model is not None:
        os.environ[f"{PREFIX}MODEL"] = str(args.model.resolve())
    try:
        read_settings()
        application = build({"replicas": args.replicas})
    except (SettingsError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = (
        f"{__package__}.lost:middlewares"
    )
    ended = threading.Event()
    ray.init(
        num_cpus=args.cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,  # nothing of ours goes through it
    )
    try:
        serve.start(http_options=HTTPOptions(host=args.host, port=args.port))
        serve.run(application, name="pokejax", route_prefix="/")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        print(f"listening on http://{args.host}:{args.port}", flush=True)
        ended.wait()
        serve.shutdown()
    finally:
        ray.shutdown()
    return 0


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
