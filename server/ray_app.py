"""The service on a Ray cluster: replicas of the one application, behind Ray Serve.

    serve deploy deploy/ray/serve.yaml                   on a cluster
    python -m server.ray_cluster --replicas 2            on this machine alone

Each replica has its own model, queue and rate limits, as a worker of `--workers` has.
"""

# Of the extra `ray`, which is in no lock file.
# pyright: reportMissingImports=false

import asyncio
import os
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve

from .gate import Gate
from .settings import PREFIX

# What a replica is given at a time: enough for full tiles, and for streams, which last.
_IN_HANDS = 64
# Of these, those that it should have on average; above, replicas are added.
_TARGET = 16
# What waits at a proxy while all replicas have enough; the next one is refused.
_MOST_WAITING = 512


class Replica:
    """One process of the service, as Ray Serve sees it."""

    app: Gate  # which Serve sets

    async def check_health(self) -> None:
        """Wait until all is compiled, so that no request comes before.

        Raises:
          RuntimeError: the model can't draw; Ray then replaces the replica.
        """
        service = self.app.service
        while service.state == "starting":
            await asyncio.sleep(0.1)
        if service.state == "broken":
            raise RuntimeError("the model can't draw; the log says why")


def _application() -> Gate:
    from .app import app  # in the replica's process, from its environment

    return app


def deployed(args: Mapping[str, Any], application: Callable[[], Gate]) -> Any:
    """Any application of ours, made in each replica; `args` as in `build`."""
    for name in args:
        if name not in ("replicas", "gpus"):
            raise ValueError(
                f"there is no argument {name!r}; expected replicas or gpus"
            )
    told = str(args.get("replicas", 1))
    limits = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", told)
    if not limits or int(limits[2] or limits[1]) < int(limits[1]):
        raise ValueError(f"replicas is {told!r}; expected a number, or two as in 1-8")
    scaling: dict[str, Any] = {"num_replicas": int(limits[1])}
    if limits[2]:
        scaling = {
            "autoscaling_config": {
                "min_replicas": int(limits[1]),
                "max_replicas": int(limits[2]),
                "target_ongoing_requests": _TARGET,
            }
        }
    environment = {k: v for k, v in os.environ.items() if k.startswith(PREFIX)}
    # Streams go on at any replica that signs with the same key.
    environment.setdefault(f"{PREFIX}RESUME_KEY", secrets.token_hex(32))
    deployment: Any = serve.deployment(
        serve.ingress(application)(Replica),
        name="pokejax",
        **scaling,
        max_ongoing_requests=_IN_HANDS,
        max_queued_requests=_MOST_WAITING,
        health_check_period_s=5,
        health_check_timeout_s=30,
        # At the end of a replica, every second: is something still under way?
        graceful_shutdown_wait_loop_s=1,
        graceful_shutdown_timeout_s=35,
        ray_actor_options={
            "num_cpus": 1,
            "num_gpus": float(args.get("gpus", 0)),
            "runtime_env": {"env_vars": environment},
        },
    )
    return deployment.bind()


def build(args: dict[str, Any]) -> Any:
    """The application for `serve run` and `serve deploy`.

    Args:
      args: `replicas`, a number (`"2"`, the default is 1) or two to scale between by
        the requests that wait (`"1-8"`), and `gpus` for each (0, or a fraction).

    Raises:
      ValueError: an argument can't be used.
    """
    return deployed(args, _application)
