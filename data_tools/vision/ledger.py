"""The ledger of questions to a model: what was asked, what came back, what it cost.

Owns `.pokejax_ledger.jsonl` in the images directory, to which lines are only ever
added. A question has two lines: what it may cost at most, before it's sent, and what
became of it. So a process that is killed leaves no answer unrecorded that it had
received, and no question uncounted that may have been billed.
"""

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

NAME = ".pokejax_ledger.jsonl"
MOST_ANSWERS = 2  # that are bought to one question, if they can't be used


class Key(NamedTuple):
    """What identifies a question.

    Attributes:
      picture: SHA-256 of the picture file, hex.
      prompt: hash of all else that is sent but the model's name.
      model: its name.
    """

    picture: str
    prompt: str
    model: str


@dataclass
class Entries:
    """What a ledger holds so far.

    Attributes:
      answers: the text that the model sent, usable answers only.
      refused: what was wrong with each answer, where none was usable; their texts are
        in the file.
      spent_usd: all costs, at their upper bound where nothing came back.
    """

    answers: dict[Key, str] = field(default_factory=dict)
    refused: dict[Key, list[str]] = field(default_factory=dict)
    spent_usd: float = 0.0

    def add(self, key: Key, result: Mapping[str, Any]) -> None:
        """Take up what became of a question, as `Ledger.settle` is given it."""
        if result.get("answer"):
            self.answers[key] = result["answer"]
            self.refused.pop(key, None)
        elif "refused" in result:
            self.refused.setdefault(key, []).append(result["problem"])

    def is_given_up(self, key: Key) -> bool:
        """Whether as many answers as we pay for were bought, and none was usable."""
        return len(self.refused.get(key, ())) >= MOST_ANSWERS


def read_ledger(
    path: Path, wanted: Callable[[Key], bool] = lambda key: True
) -> Entries:
    """The entries of the ledger at `path`; none if there's no such file.

    Lines that can't be read, such as one cut off by a crash, are skipped.

    Args:
      path: of the file.
      wanted: says whose answers to take up; what all have cost is counted anyway.

    Raises:
      OSError: the file can't be read.
    """
    entries = Entries()
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return entries
    costs: dict[str, float] = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            # A later line of the same question replaces its upper bound.
            costs[str(entry["id"])] = float(entry["usd"])
            key = Key(entry["picture"], entry["prompt"], entry["model"])
            if wanted(key):
                entries.add(key, entry)
    entries.spent_usd = sum(costs.values())
    return entries


class Ledger:
    """A ledger that is open for writing, by this process alone."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, or begin it.

        Raises:
          OSError: it can't be written.
          BlockingIOError: another process has it open.
        """
        self.path = path
        # Unbuffered, so that a failed write isn't retried on closing.
        self._file = path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.entries = read_ledger(path)
            self._is_torn = not _ends_line(path)
        except OSError:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file and release its lock."""
        self._file.close()

    def ask(self, key: Key, name: str, most_usd: float) -> str:
        """Note that a question is about to be sent; returns its id.

        Args:
          key: of the question.
          name: of the picture, for people who read the file.
          most_usd: upper bound of the cost.
        """
        question = uuid.uuid4().hex
        # The kernel has it even if this process is killed; only a power cut loses it.
        self._append({"id": question, "usd": most_usd, "name": name, **key._asdict()})
        return question

    def settle(self, question: str, key: Key, usd: float, **result: Any) -> None:
        """Note what came of a question, and have it on the disk on return.

        Args:
          question: the id that `ask` gave.
          key: of the question.
          usd: what it cost.
          result: `answer`, the model's text, where it's good, else `problem`, and the
            text as `refused` if there was one; counts of tokens.
        """
        self._append({"id": question, "usd": usd, **result, **key._asdict()})
        os.fsync(self._file.fileno())
        self.entries.add(key, result)

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        left = memoryview(b"\n" + line if self._is_torn else line)
        self._is_torn = True
        while left:
            left = left[self._file.write(left) :]
        self._is_torn = False


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read() in (b"", b"\n")
