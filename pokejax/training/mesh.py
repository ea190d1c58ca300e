"""Devices and processes: how they meet, what they hold, which one reports.

Two axes, over both of which each batch is shared: weights are cut over `fsdp`, whose
devices are neighbours, and copied over `data`. Every process runs the same program on
the same values; only the first one writes files.
"""

import ctypes
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from pokejax.config import Config, ConfigError

# The axes that an array's examples are shared over.
BATCH = ("data", "fsdp")
# After this long without a heartbeat a process counts as lost, and the others end.
_HEARTBEAT_SECONDS = 30
# How long the processes may take to find each other.
_MEETING_SECONDS = 300


def join_processes(config: Config) -> None:
    """Meet the run's other processes, if there are any, before JAX starts.

    Raises:
      ConfigError: they can't be found; names the setting to check.
    """
    mesh = config.mesh
    if not mesh.coordinator:
        if mesh.processes > 1:
            raise ConfigError(
                f"mesh.processes is {mesh.processes}, but mesh.coordinator is empty;"
                " expected the address:port of process 0, or 'auto'"
            )
        return
    # JAX would otherwise catch SIGTERM before the run's own handler is in place.
    jax.config.update("jax_enable_preemption_service", False)
    places: tuple[Any, ...] = (mesh.coordinator, mesh.processes, mesh.process_id)
    if mesh.coordinator == "auto":
        places = (None, None, None)
    else:
        _wait_for(mesh.coordinator, mesh.process_id)
    try:
        jax.distributed.initialize(
            *places,
            initialization_timeout=_MEETING_SECONDS,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        first_line = str(error).splitlines()[0]
        raise ConfigError(
            f"mesh.coordinator is {mesh.coordinator!r}, and the processes didn't meet:"
            f" {first_line}"
        ) from None
    # On CPU, the first collective times out after 30 s: do one before any process
    # has fallen behind by compiling.
    multihost_utils.sync_global_devices("joined")


def _wait_for(coordinator: str, process_id: int) -> None:
    """Wait until process 0 listens; JAX would abort without a helpful message."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"mesh.coordinator is {coordinator!r}; expected address:port, or 'auto'"
        )
    deadline = time.monotonic() + _MEETING_SECONDS
    while process_id:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"mesh.coordinator is {coordinator!r}, but nothing is listening"
                    " there"
                    f" ({error}); is process 0 running?"
                ) from None
        time.sleep(0.2)


def keep_freed_memory() -> None:
    """Under glibc, keep the memory that a step gives back for the next one.

    XLA's CPU backend allocates its working memory anew at every call. glibc would get
    it from the system and return it each time: tens of thousands of page faults per
    step. Call it before anything asks JAX for a device: threads that run by then have
    arenas of their own, which go on returning theirs.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD of <malloc.h>
        mallopt(-8, 1)
        mallopt(-4, 0)
        mallopt(-1, -1)


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run a command; after an error, exit without waiting for processes or threads.

    Other processes may be waiting for this one, in the middle of a step, and would for
    minutes; they end once they notice that it is gone. Threads of a failed save would
    complain about the shutdown, below the line that says what is wrong.
    """
    try:
        code = main()
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        code = 1
    if code in (1, 2):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def make_mesh(config: Config) -> Mesh:
    """The devices of a run, `data` by `fsdp`; the latter is 1 for whole weights.

    Raises:
      ConfigError: more devices are asked for than there are, or fewer than there are in
        all processes; or they can't be grouped by `mesh.fsdp`.
    """
    devices = jax.devices()
    count = config.mesh.devices or len(devices)
    if count > len(devices) or (jax.process_count() > 1 and count < len(devices)):
        raise ConfigError(
            f"mesh.devices is {count}; there are {len(devices)}"
            f" ({jax.default_backend()}) in {jax.process_count()} process(es);"
            " several processes always use all of theirs"
        )
    together = (config.mesh.fsdp or count) if config.mesh.shard_params else 1
    if count % together:
        raise ConfigError(
            f"mesh.fsdp is {together}; expected a divisor of the {count} devices"
        )
    # Under Explicit axes, the default, an embedding by sharded ids raises.
    return jax.make_mesh(
        (count // together, together),
        BATCH,
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices[:count],
    )


def spread(shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Cut the largest axis that `fsdp` divides evenly; small arrays stay whole."""
    count = mesh.shape["fsdp"]
    axes = [i for i, size in enumerate(shape) if size % count == 0]
    if count == 1 or not axes or int(np.prod(shape)) < 2**12:
        return PartitionSpec()
    largest = max(axes, key=lambda i: shape[i])
    return PartitionSpec(*("fsdp" if i == largest else None for i in range(len(shape))))


def put(leaf: Any, sharding: NamedSharding) -> Array:
    """An array that every process holds alike, as one global array."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    value = np.asarray(leaf)
    return jax.make_array_from_callback(
        value.shape, sharding, lambda index: value[index]
    )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A tree whose arrays are whole on every device."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: put(leaf, everywhere), tree)


def whole(tree: Any, mesh: Mesh) -> Any:
    """A tree whose arrays each process can read; all processes must call this."""
    if jax.process_count() == 1:
        return tree  # each of its arrays can be read as it is
    return gathered(tree, mesh)


def gathered(tree: Any, mesh: Mesh) -> Any:
    """A tree whose arrays, cut or not, are whole on every device; likewise."""
    return _whole(tree, NamedSharding(mesh, PartitionSpec()))


@jax.jit(static_argnums=1)
def _whole(tree: Any, everywhere: NamedSharding) -> Any:
    return jax.lax.with_sharding_constraint(tree, everywhere)


def any_process(wish: bool, mesh: Mesh) -> bool | Array:
    """Whether any process votes yes; all must call this at the same point.

    The result may still be on its way: reading its truth waits for the devices.
    """
    if jax.process_count() == 1:
        return wish
    by_device = NamedSharding(mesh, PartitionSpec(BATCH))
    ballots = jax.make_array_from_callback(
        (mesh.size,), by_device, lambda index: np.array([wish])
    )
    return _any(ballots)


@jax.jit
def _any(ballots: Array) -> Array:
    return ballots.any()


def meet(name: str) -> None:
    """Wait until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def device_names() -> str:
    """The devices' number and kind, e.g. `1 x cpu (cpu)`."""
    device = jax.devices()[0]
    return f"{jax.device_count()} x {device.device_kind} ({device.platform})"


def memory_kind() -> str:
    """What `peak_memory_mb` measures: `"device"` or, on CPU, `"host"` memory."""
    return "device" if jax.local_devices()[0].memory_stats() else "host"


def peak_memory_mb() -> float:
    """The most memory in use so far on any device, in units of 2**20 bytes.

    JAX doesn't count on CPU, where it is the process's peak resident memory.
    """
    if memory_kind() == "device":
        stats = [device.memory_stats() for device in jax.local_devices()]
        return max(s["peak_bytes_in_use"] for s in stats) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (20 if sys.platform == "darwin" else 10)  # bytes there, else KiB


def memory_bytes() -> int:
    """How much memory a device has; on CPU, the machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return stats.get("bytes_limit", machine)


def is_first() -> bool:
    """Whether this process writes logs, pictures and messages."""
    return jax.process_index() == 0


def say(text: str) -> None:
    """Print a message, once for all processes."""
    if is_first():
        print(text, flush=True)
