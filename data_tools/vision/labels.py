"""Labels from a vision model for a directory of pictures: `--provider baml`.

Owns the order of the work (what exists already, what the ledger has answered, then
questions) and the report. A failing picture never ends the run.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import openai
from tqdm import tqdm

from pokejax.prompts.llm import (
    LlmEndpoint,
    LlmUnavailable,
    load_baml_client,
    read_endpoint,
)

from ..metadata import (
    MetadataError,
    Outcome,
    read_outcome,
    read_picture,
    write_metadata,
)
from ..pictures import find_metadata, metadata_path
from . import ledger
from .ledger import Entries, Ledger, read_ledger
from .pace import Pace, Stopped
from .questions import Questions, hash_file
from .requests import Asker, Usage
from .shares import Share
from .spending import Budget, Prices, find_prices

_Report = Callable[[Path, Outcome], None]


@dataclass
class Labelled:
    """What became of all pictures.

    Attributes:
      outcomes: of every picture that was looked at, by path.
      from_ledger: how many were answered by an earlier run.
      refused: how many got no usable answer, and aren't asked about again.
      not_asked: how many were left when the run stopped.
      stop_reason: why it did, or empty.
      is_fatal: whether the user must fix something first.
    """

    outcomes: dict[Path, Outcome] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    from_ledger: int = 0
    refused: int = 0
    not_asked: int = 0
    stop_reason: str = ""
    is_fatal: bool = False
    is_interrupted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every picture has its metadata now."""
        return not self.not_asked and not any(o.problem for o in self.outcomes.values())

    def summary(self) -> str:
        """Counts, tokens and cost, a line or two."""
        refused = (
            f"\n{self.refused} of those failed because no model's answer was usable:"
            f" they are in {ledger.NAME}, and --retry-refused asks again"
        )
        failed = sum(bool(o.problem) for o in self.outcomes.values())
        usage = self.usage
        return (
            f"{usage.questions} questions sent: {usage.input_tokens} tokens in, "
            f"{usage.output_tokens} out, ${usage.usd:.4f} at most; "
            f"{self.from_ledger} pictures answered from the ledger, {failed} failed, "
            f"{self.not_asked} not asked{refused if self.refused else ''}"
        )


def label_pictures(
    args: argparse.Namespace,
    paths: list[Path],
    report: _Report,
    share: Share | None = None,
) -> Labelled:
    """Write the metadata of the pictures at `paths`, as far as it can be had.

    Args:
      args: the options of `data_tools.generate_metadata`.
      paths: pictures below `args.images_dir`.
      report: called with each picture's outcome.
      share: of several askers, which asks about these; None for the only one.

    Raises:
      MetadataError: nothing can be asked.
    """
    endpoint, questions, prices = _prepare(args, need_key=True)
    path = args.images_dir / (share.ledger if share else ledger.NAME)
    try:
        book = Ledger(path)
    except BlockingIOError as error:
        raise MetadataError(
            f"another run is writing {str(path)!r}: wait for it to end"
        ) from error
    except OSError as error:
        raise MetadataError(f"cannot write {str(path)!r}: {error.strerror}") from error
    if share:
        args = share.part_of(args, book.entries)
    if args.retry_refused:
        book.entries.refused.clear()
    try:
        return asyncio.run(
            _label(args, paths, report, endpoint, questions, prices, book)
        )
    finally:
        book.close()


def estimate(args: argparse.Namespace, paths: list[Path]) -> str:
    """What `label_pictures` would ask and what that would cost; writes nothing.

    Raises:
      MetadataError: as `label_pictures`, but no key is needed.
    """
    endpoint, questions, prices = _prepare(args, need_key=False)
    try:
        entries = read_ledger(args.images_dir / ledger.NAME)
    except OSError as error:
        raise MetadataError(f"cannot read the ledger: {error.strerror}") from error
    if args.retry_refused:
        entries.refused.clear()
    done = Labelled()
    to_ask: list[Path] = []
    for path, _ in _unanswered(
        args, paths, endpoint, questions, entries, done, lambda *_: None, dry=True
    ):
        try:
            read_picture(path)
            to_ask.append(path)
        except ValueError as error:
            done.outcomes[path] = Outcome({}, problem=f"{path}: {error}")
    failed = {path for path, outcome in done.outcomes.items() if outcome.problem}
    price = prices.get(endpoint.model)
    of_price = price or Prices(0.0, 0.0)
    tokens = sum(questions.input_tokens(p, of_price)[0] for p in to_ask)
    lines = [
        f"{len(paths)} pictures: {len(to_ask)} to ask {endpoint.model} about, "
        f"{len(done.outcomes) - len(failed) - done.from_ledger} have metadata, "
        f"{done.from_ledger} answered in the ledger, "
        f"{done.refused} answered unusably (--retry-refused asks again), "
        f"{len(failed) - done.refused} unusable",
        f"about {tokens} tokens in",
    ]
    if price:
        usual = sum(questions.usual_usd(p, price) for p in to_ask)
        most = sum(questions.most_usd(p, price) for p in to_ask)
        lines[1] += f"; about ${usual:.4f}, at most ${most:.4f} without retries"
        lines.append(
            f"all {len(paths)} pictures, none of them labelled or answered: about "
            f"${_usual_usd(questions, paths, price):.4f}"
        )
    else:
        lines[1] += f"; no price known for {endpoint.model!r}: add --price IN OUT"
    lines.append(f"spent so far, by the ledger: ${entries.spent_usd:.4f}")
    return "\n".join(lines)


def _usual_usd(questions: Questions, paths: list[Path], price: Prices) -> float:
    total = 0.0
    for path in paths:
        with contextlib.suppress(ValueError):  # can't be asked about
            total += questions.usual_usd(path, price)
    return total


def _prepare(
    args: argparse.Namespace, need_key: bool
) -> tuple[LlmEndpoint, Questions, dict[str, Prices]]:
    try:
        endpoint = read_endpoint(need_key=need_key)
        questions = Questions(load_baml_client(), endpoint)
    except LlmUnavailable as error:
        raise MetadataError(str(error)) from error
    prices: dict[str, Prices] = {}
    for model in endpoint.models:
        price = Prices(*args.price) if args.price else find_prices(model)
        if price:
            prices[model] = price
        elif args.max_cost_usd is not None and need_key:
            raise MetadataError(
                f"--max-cost-usd needs the price of {model!r}: add --price IN OUT, in "
                "US dollars per million tokens"
            )
    return endpoint, questions, prices


def _unanswered(
    args: argparse.Namespace,
    paths: list[Path],
    endpoint: LlmEndpoint,
    questions: Questions,
    entries: Entries,
    done: Labelled,
    report: _Report,
    dry: bool = False,
) -> Iterator[tuple[Path, str]]:
    """Settle pictures that need no question; yield the others with their hashes."""

    def settle(path: Path, outcome: Outcome) -> None:
        done.outcomes[path] = outcome
        report(path, outcome)

    for path in paths:
        try:
            found = find_metadata(path)  # before an answer is paid that has no place
            if args.skip_existing and found:
                settle(path, read_outcome(path))
                continue
            digest = hash_file(path)
            metadata = questions.stored(entries, path, digest)
            refused = questions.refused(entries, path, digest)
        except ValueError as error:
            settle(path, Outcome({}, problem=f"{path}: {error}"))
            continue
        if metadata is None and refused:
            done.refused += 1
            settle(path, Outcome({}, problem=f"{path}: {refused}"))
            continue
        if metadata is None:
            yield path, digest
            continue
        done.from_ledger += 1
        settle(path, Outcome({}) if dry else _write(path, metadata))


def _write(path: Path, metadata: dict) -> Outcome:
    try:
        return write_metadata(path, metadata)
    except ValueError as error:  # something put there by hand
        return Outcome({}, problem=f"{path}: {error}")
    except OSError as error:
        # Its answer is in the ledger: the next run writes it without asking.
        target = metadata_path(path)
        return Outcome({}, problem=f"cannot write {target}: {error.strerror}")


async def _label(
    args: argparse.Namespace,
    paths: list[Path],
    report: _Report,
    endpoint: LlmEndpoint,
    questions: Questions,
    prices: dict[str, Prices],
    book: Ledger,
) -> Labelled:
    done = Labelled()
    todo = list(
        _unanswered(args, paths, endpoint, questions, book.entries, done, report)
    )
    connection = openai.AsyncOpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        timeout=args.timeout_s,
        max_retries=0,  # what is retried is decided by `Asker`
    )
    asker = Asker(
        endpoint=endpoint,
        questions=questions,
        prices=prices,
        ledger=book,
        budget=Budget(args.max_cost_usd, book.entries.spent_usd),
        pace=Pace(args.requests_per_minute),
        connection=connection,
        usage=done.usage,
    )
    async with connection:
        await _ask_all(asker, todo, args.concurrency, done, report)
    done.not_asked = len(todo) - sum(path in done.outcomes for path, _ in todo)
    done.stop_reason = asker.pace.stop_reason
    done.is_fatal = asker.is_fatal
    return done


async def _ask_all(
    asker: Asker,
    todo: list[tuple[Path, str]],
    concurrency: int,
    done: Labelled,
    report: _Report,
) -> None:
    waiting = iter(todo)

    async def work() -> None:
        for path, digest in waiting:
            try:
                outcome = _write(path, await asker.ask(path, digest))
            except ValueError as error:
                outcome = Outcome({}, problem=f"{path}: {error}")
                entries = asker.ledger.entries
                done.refused += bool(asker.questions.refused(entries, path, digest))
            except Stopped:
                return
            done.outcomes[path] = outcome
            report(path, outcome)

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # the second one ends it at once
        done.is_interrupted = True
        asker.pace.stop("interrupted")
        tqdm.write(
            "stopping: waiting for the answers in flight; Ctrl-C again drops them",
            file=sys.stderr,
        )

    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    finally:
        loop.remove_signal_handler(signal.SIGINT)
