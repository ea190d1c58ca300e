"""What questions cost, and the cap on it: prices, bounds and the budget."""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path

# What a picture is billed as at most by any model we know of.
_MOST_IMAGE_TOKENS = 8600
_ROUNDING = 1e-9  # US dollars; sums of floats


@dataclass(frozen=True)
class Prices:
    """Of one model.

    Attributes:
      input: US dollars per million tokens.
      output: US dollars per million tokens.
      image_tokens: the most that one of our pictures is billed as.
    """

    input: float
    output: float
    image_tokens: int = _MOST_IMAGE_TOKENS

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """The cost of a question with its answer."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


def find_prices(model: str) -> Prices | None:
    """The prices of `model` in `llm_prices.json`, or None if it isn't there.

    A dated name (`gpt-4.1-mini-2025-04-14`) has the price of the plain one.
    """
    table = json.loads(Path(__file__).with_name("llm_prices.json").read_text("utf-8"))
    entry = table["models"].get(re.sub(r"-\d{4}-\d\d-\d\d$", "", model))
    return Prices(**entry) if entry else None


class OverBudget(Exception):
    """The next question could exceed the cap, whatever those under way cost."""


class Budget:
    """Spending under a cap that holds with any number of questions under way.

    Each reserves its upper bound before it is sent, and settles for its true cost.
    """

    def __init__(self, cap_usd: float | None, spent_usd: float) -> None:
        """A budget of `cap_usd` in all, None for no cap, of which some is spent."""
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self._reserved: list[float] = []
        self._changed = asyncio.Condition()

    def _fits(self, usd: float) -> bool:
        if self.cap_usd is None:
            return True
        total = self.spent_usd + sum(self._reserved) + usd
        return total <= self.cap_usd + _ROUNDING

    async def reserve(self, usd: float) -> None:
        """Set `usd` aside, after waiting for questions under way if need be.

        Raises:
          OverBudget: there's no room even when all of those are settled.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._fits(usd) or not self._reserved,
            )
            if not self._fits(usd):
                raise OverBudget
            self._reserved.append(usd)

    async def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """Turn what `reserve` set aside into what was spent."""
        async with self._changed:
            self._reserved.remove(reserved_usd)
            self.spent_usd += spent_usd
            self._changed.notify_all()
