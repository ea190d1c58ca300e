"""What turning a drawing's hues and making pixel art of it takes, on one core.

    python benchmarks/finish_latency.py

64 drawings of four prompts, as the service finishes them; medians of nine rounds.
"""

import statistics
import time
from collections.abc import Callable

from pokejax import Sampler
from pokejax.images.finish import USUAL_COLORS
from pokejax.inference.recipe import Recipe
from pokejax.prompts.rules import parse_by_rules

PROMPTS = (
    "a purple ghost",
    "a brown rock golem",
    "a small blue water turtle",
    "a big green dragon",
)
EACH, ROUNDS = 16, 9


def milliseconds(run: Callable[[], object]) -> float:
    """A median round, per picture."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken) / (len(PROMPTS) * EACH)


def main() -> None:
    """Print both times."""
    sampler = Sampler.load()
    recipes = [
        Recipe(prompt, parse_by_rules(prompt).attributes, seed)
        for prompt in PROMPTS
        for seed in range(EACH)
    ]
    tiles = [
        recipes[i : i + sampler.tile_rows]
        for i in range(0, len(recipes), sampler.tile_rows)
    ]
    drawn = [(tile, list(sampler.rounds(tile, previews=False))[-1]) for tile in tiles]

    def turned() -> list:
        return [
            last.sample(i, recipe, sampler.model_id)
            for tile, last in drawn
            for i, recipe in enumerate(tile)
        ]

    pictures = turned()
    print(f"hues turned      {milliseconds(turned):.1f} ms a picture")
    finish = milliseconds(lambda: [p.finished(USUAL_COLORS) for p in pictures])
    print(f"made pixel art   {finish:.1f} ms a picture")


if __name__ == "__main__":
    main()
