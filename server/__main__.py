"""The command that serves the API and its pages."""

import argparse
import contextlib
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.images.training_index import IndexFileError
from pokejax.images.training_index import read as read_index
from pokejax.inference.bundle import BundleError
from pokejax.inference.bundle import read as read_bundle

from .settings import Settings, SettingsError, read_settings, settings_help

_HANG_UP_S = 5  # for connections that are still open after the drain


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 on bad input."""
    prog = call_of("server.__main__")
    parser = Parser(
        prog=prog,
        description=(
            "Serve pictures over HTTP: the API under /api/v1, OpenAI's image endpoint"
            " under /v1, documentation under /docs."
        ),
        epilog=(
            "settings, read from the environment:\n"
            + settings_help()
            + f"\n\nexample: POKEJAX_RATE_LIMIT=60 {prog} --port 9000"
            ' --model runs/mine/model.safetensors\nthen:    curl "http://127.0.0.1:'
            '9000/api/v1/download?prompt=a+red+dragon&seed=42" -o dragon.png'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 means all (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8000,
        help="port to listen on; 0 picks a free one (default: 8000)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="bundle, or a run's directory (default: POKEJAX_MODEL, or the included"
        " model)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes, each with its own copy of the model, queue and rate limits"
        " (default: 1)",
    )
    args = parser.parse_args(argv)
    if not 0 <= args.port <= 65535:
        parser.error(f"--port is {args.port}; expected 0 to 65535")
    if not 1 <= args.workers <= 64:
        parser.error(f"--workers is {args.workers}; expected 1 to 64")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; 2 on bad input."""
    args = parse_arguments(argv)
    if args.model is not None:
        os.environ["POKEJAX_MODEL"] = str(args.model)
    try:
        settings = read_settings()
        # Checked before any port is opened or worker started.
        if not settings.model.is_dir():
            read_bundle(settings.model)
        if settings.training_index:
            read_index(settings.training_index)
    except (SettingsError, BundleError, IndexFileError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    try:
        listener = _bind(args.host, args.port)
    except OSError as error:
        where = f"{args.host} port {args.port}"
        print(f"error: can't listen on {where}: {error.strerror}", file=sys.stderr)
        return 2
    _serve(listener, args.workers, settings)
    return 0


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before a model is loaded, so that a taken one is told at once."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _serve(listener: socket.socket, workers: int, settings: Settings) -> None:
    import uvicorn

    from .lifecycle import LAST_S
    from .log import LOG_CONFIG
    from .protocol import StrictProtocol
    from .workers import Workers

    forwarded = os.environ.get("FORWARDED_ALLOW_IPS", "")
    config = uvicorn.Config(
        f"{__package__}.app:app",
        workers=workers,
        http=StrictProtocol,
        ws="none",
        log_config=LOG_CONFIG,
        access_log=False,
        server_header=False,
        # By default uvicorn believes whoever is on this machine.
        proxy_headers=bool(forwarded),
        forwarded_allow_ips=forwarded,
        timeout_graceful_shutdown=_HANG_UP_S,
    )
    host, port = listener.getsockname()[:2]
    logging.getLogger("pokejax.server").info(
        json.dumps({"event": "listening", "host": host, "port": port})
    )
    with contextlib.suppress(KeyboardInterrupt):
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
            return
        # What workers share: their numbers, the key of their streams, and batches.
        os.environ.setdefault("POKEJAX_RESUME_KEY", secrets.token_hex(32))
        with tempfile.TemporaryDirectory(prefix="pokejax-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            os.environ.setdefault("POKEJAX_BATCH_DIR", f"{folder}/batches")
            # Those that hang end by themselves, if they can.
            patience = settings.drain_s + LAST_S + 1
            Workers(config, [listener], patience_s=patience).run()


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
