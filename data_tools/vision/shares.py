"""Several askers on several machines, who together keep one rate and one budget.

Which of them asks about a picture is decided by the picture, and each keeps a ledger of
its own beside the others', so none needs to hear of another. Engines such as Beam give
each asker to one machine at a time.
"""

import argparse
from typing import NamedTuple

from .ledger import NAME, Entries, Key, read_ledger


class Share(NamedTuple):
    """One asker: its number, from 0, of so many."""

    number: int
    askers: int

    @property
    def ledger(self) -> str:
        """The name of its ledger, beside the usual one."""
        return f"{NAME.removesuffix('.jsonl')}-{self.number}-of-{self.askers}.jsonl"

    def part_of(self, args: argparse.Namespace, own: Entries) -> argparse.Namespace:
        """The options for this asker, once it has read what others were answered.

        Args:
          args: the options of `data_tools.generate_metadata`, for all together.
          own: of its ledger; answers from others' about its pictures are added.
        """
        spent = own.spent_usd
        for path in sorted(
            args.images_dir.glob(f"{NAME.removesuffix('.jsonl')}*.jsonl")
        ):
            if path.name != self.ledger:
                others = read_ledger(path, self._has)
                own.answers = others.answers | own.answers
                own.refused = others.refused | own.refused
                spent += others.spent_usd
        part = argparse.Namespace(**vars(args))
        part.concurrency = max(1, args.concurrency // self.askers)
        if args.requests_per_minute:
            part.requests_per_minute = args.requests_per_minute / self.askers
        if args.max_cost_usd is not None:
            left = max(0.0, args.max_cost_usd - spent) / self.askers
            part.max_cost_usd = own.spent_usd + left
        return part

    def _has(self, key: Key) -> bool:
        return asker_of(key.picture, self.askers) == self.number


def asker_of(picture: str, count: int) -> int:
    """Which of `count` askers asks about the picture with this SHA-256, hex."""
    return int(picture[:8], 16) % count
