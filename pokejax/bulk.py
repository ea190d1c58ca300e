"""The command: a table of prompts in Parquet -> shards of pictures, by Ray Data.

All rows are checked first; then each goes to the shard that its recipe belongs to,
which one worker draws and writes. One that is there is never drawn again: after any
end, the same command goes on.
"""

# Of the extra `ray`, which is in no lock file.
# pyright: reportMissingImports=false

import hashlib
import json
import logging
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of
from pokejax.files import check_writable, locked, whole_file
from pokejax.inference import shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import PromptError
from pokejax.inference.sampler import Sampler
from pokejax.inference.shards import (
    check_columns,
    key_of,
    recipe_of,
    shard_name,
    shard_of,
    write_shard,
)

if TYPE_CHECKING:
    import pyarrow as pa

PLAN = "plan.json"


class BulkError(ValueError):
    """The job can't be done; the message says why."""


class Drawer:
    """A worker: holds a model, and draws one shard after another."""

    def __init__(self, model: str, out: str, shards: int, colors: int):
        self._sampler = Sampler.load(model)
        self._out, self._shards, self._colors = Path(out), shards, colors

    def __call__(self, rows: "pa.Table") -> "pa.Table":
        """Draw and write the shard that all of the rows belong to."""
        import pyarrow as pa

        number = rows["shard"][0].as_py()
        table = rows.drop_columns(["shard"]).to_pylist()
        recipes = [recipe_of(row, self._colors) for row in table]
        path = self._out / shard_name(number, self._shards)
        # Ray gives a shard out again where the worker that drew it died just after.
        if not path.is_file():
            write_shard(path, recipes, self._sampler)
        count = len({key_of(recipe, self._sampler.model_id) for recipe in recipes})
        return pa.table({"pictures": [count], "rows": [len(table)]})


def troubles(rows: "pa.Table") -> "pa.Table":
    """What is wrong with rows that can't be drawn."""
    import pyarrow as pa

    found: list[str] = []
    for row in rows.to_pylist():
        try:
            recipe_of(row, 0)
        except PromptError as error:
            found.append(str(error))
    return pa.table({"trouble": pa.array(found, pa.string())})


def placed(
    rows: "pa.Table", *, model_id: str, colors: int, shards: int, todo: Sequence[int]
) -> "pa.Table":
    """Rows of shards that are to be drawn, with the number of their shard."""
    import pyarrow as pa

    recipes = [recipe_of(row, colors) for row in rows.to_pylist()]
    numbers = [shard_of(key_of(recipe, model_id), shards) for recipe in recipes]
    wanted = set(todo)
    mask = pa.array([number in wanted for number in numbers], pa.bool_())
    return rows.append_column("shard", pa.array(numbers, pa.int64())).filter(mask)


def plan_of(
    files: Sequence[Path], rows: int, model_id: str, per_shard: int
) -> dict[str, Any]:
    """What decides a job's shards: two jobs that differ in it don't mix."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {
        "model": model_id,
        "rows": rows,
        "shards": -(-rows // per_shard),
        "prompts": digest.hexdigest()[:16],
    }


def is_begun(out: Path, plan: Mapping[str, Any]) -> bool:
    """Whether a directory holds this very job, whose rows were all right, then.

    Raises:
      BulkError: it holds another one.
    """
    path = out / PLAN
    if not path.exists():
        if found := sorted(out.glob("shard-*.tar")):
            raise BulkError(f"{out} holds {found[0].name} but no {PLAN}")
        return False
    try:
        before = json.loads(path.read_text())
    except ValueError:
        raise BulkError(f"{path} is damaged") from None
    other = [
        f"{k} {before.get(k)} (now {v})" for k, v in plan.items() if before.get(k) != v
    ]
    if other:
        raise BulkError(f"{out} holds the shards of another job: {', '.join(other)}")
    return True


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.bulk"),
        description=(
            "Draw a picture of each row of a table, on this machine or a Ray cluster,"
            " into WebDataset shards. The same command goes on after any end."
        ),
        epilog="example: %(prog)s --prompts prompts.parquet --out shards --workers 4",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        help="a Parquet file, or a directory of them: columns prompt and seed, and any"
        " of attributes (JSON), temperature, guidance, negative, shiny",
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of shards")
    parser.add_argument(
        "--model",
        type=Path,
        default=shipped.MODEL,
        help="bundle, or directory of a training run (default: the included model)",
    )
    parser.add_argument(
        "--per-shard", type=int, default=4096, help="pictures, about (default: 4096)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="that draw at a time (default: 1)"
    )
    parser.add_argument(
        "--gpus", type=float, default=0, help="that each worker takes (default: 0)"
    )
    parser.add_argument(
        "--address", help="of a Ray cluster, or 'auto' (default: start one here)"
    )
    args = parser.parse_args(argv)
    for name in ("per_shard", "workers"):
        if (value := getattr(args, name)) < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}; expected 1 or more")
    if args.gpus < 0:
        parser.error(f"--gpus is {args.gpus}; expected 0 or more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if all shards are there, 2 on bad input."""
    args = parse_arguments(argv)
    try:
        drawn, there, shards = run(args)
    except (BulkError, PromptError, BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {shards} shards, {there} of them already there; {drawn}")
    return 0


def run(args: Namespace) -> tuple[str, int, int]:
    """Draw what is missing; says what was drawn, and how many shards were there.

    Raises:
      BulkError: the directory holds another job.
      PromptError: the table can't be read, or a row can't be drawn.
      BundleError: the model can't be used.
      OSError: a file can't be read or written.
    """
    import jax
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Here only names and hashes are needed: the devices are for the workers.
    jax.config.update("jax_platforms", "cpu")
    check_writable(args.out, directory=True)
    files = [args.prompts]
    if args.prompts.is_dir():
        files = sorted(args.prompts.glob("*.parquet"))
    if not files:
        raise PromptError(f"{args.prompts} holds no .parquet file")
    try:
        for path in files:
            check_columns(pq.read_schema(path).names)
        rows = sum(pq.read_metadata(path).num_rows for path in files)
    except pa.ArrowInvalid as error:
        raise PromptError(f"{args.prompts} is no Parquet: {error}") from None
    if not rows:
        raise PromptError(f"{args.prompts} holds no rows")
    args.out.mkdir(parents=True, exist_ok=True)
    # Ray starts processes, which a process can't do safely once JAX has begun.
    with locked(args.out), _ray(args.address, args.workers) as data:
        sampler = Sampler.load(args.model)
        colors = sampler.usual_colors
        plan = plan_of(files, rows, sampler.model_id, args.per_shard)
        shards = plan["shards"]
        begun = is_begun(args.out, plan)
        for left in args.out.glob(".shard-*.part.tar"):
            left.unlink()  # by workers that were killed
        paths = {n: args.out / shard_name(n, shards) for n in range(shards)}
        todo = [n for n, path in paths.items() if not path.is_file()]
        pictures = asked = 0
        table = data.read_parquet([str(path.resolve()) for path in files])
        if not begun:
            wrong = table.map_batches(troubles, batch_format="pyarrow").take(1)
            if wrong:
                raise PromptError(wrong[0]["trouble"])
            with whole_file(args.out / PLAN) as partial:
                partial.write_text(json.dumps(plan, indent=1) + "\n")
        if todo:
            where = {"model_id": sampler.model_id, "colors": colors, "shards": shards}
            places = (str(args.model.resolve()), str(args.out.resolve()))
            drawn = (
                table.map_batches(
                    placed, batch_format="pyarrow", fn_kwargs=where | {"todo": todo}
                )
                .groupby("shard")
                .map_groups(
                    Drawer,
                    batch_format="pyarrow",
                    fn_constructor_args=(*places, shards, colors),
                    compute=data.ActorPoolStrategy(size=args.workers),
                    num_gpus=args.gpus,
                )
            )
            for row in drawn.iter_rows():
                pictures, asked = pictures + row["pictures"], asked + row["rows"]
        # Few rows may leave a shard without any; readers want all that the names say.
        for n in todo:
            if not paths[n].is_file():
                write_shard(paths[n], [], sampler)
    again = f", {asked - pictures} rows repeated others" if asked > pictures else ""
    return f"{pictures} pictures drawn{again}", shards - len(todo), shards


@contextmanager
def _ray(address: str | None, workers: int) -> Iterator[Any]:
    """Ray Data on a cluster."""
    import ray
    import ray.data
    from ray.exceptions import RayError

    local: dict[str, Any] = {}
    if not address:  # one processor more, to read with
        local = {"include_dashboard": False, "num_cpus": workers + 1}
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield ray.data
    except RayError as error:
        # The rest is the worker's traceback.
        told = str(error).strip().splitlines()[-1]
        raise BulkError(f"a worker failed: {told}") from None
    finally:
        ray.shutdown()


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
