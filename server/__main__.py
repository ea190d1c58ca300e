"""The command that serves the API and its pages."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pokejax.inference.bundle import BundleError
from pokejax.inference.bundle import read as read_bundle
from server.settings import SettingsError, read_settings, settings_help

_HANG_UP_S = 5  # for connections that are still open after the drain


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description=(
            "Serve pictures over HTTP: the API under /api/v1, OpenAI's image endpoint"
            " under /v1, documentation under /docs."
        ),
        epilog=(
            "settings, read from the environment:\n"
            + settings_help()
            + "\n\nexample: POKEJAX_RATE_LIMIT=60 python -m server --port 9000"
            ' --model runs/mine/model.safetensors\nthen:    curl "http://127.0.0.1:'
            '9000/api/v1/download?prompt=a+red+dragon&seed=42" -o dragon.png'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 is every one (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one (default: 8000)"
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="bundle, or a run's directory (default: POKEJAX_MODEL, or the one that"
        " comes with pokejax)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes, each with its own copy of the model, queue, rate limits and"
        " streams (default: 1)",
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
    except (SettingsError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    import uvicorn

    from server.protocol import StrictProtocol

    with tempfile.TemporaryDirectory(prefix="pokejax-metrics-") as folder:
        if args.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            "server.app:app",
            host=args.host,
            port=args.port,
            workers=args.workers,
            http=StrictProtocol,
            ws="none",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_HANG_UP_S,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
