"""Draw docs/walk.gif, README's animation, with the shipped model.

The sheet beside it is what `make run` draws. Nothing is picked: the seed is that of
`make run`, and so are the prompts.
"""

from pathlib import Path

from pokejax import Sampler
from pokejax.inference.recipe import between
from server.animation import gif

PROMPTS = (
    "a small blue water turtle with a red shell",
    "a red fire lizard",
    "a yellow electric mouse",
    "a purple ghost",
)
SEED, FRAMES = 7, 8  # frames from one creature to the next


def main() -> None:
    """Walk through all prompts and back to the first."""
    sampler = Sampler.load()
    stops = [sampler.generate(prompt, seed=SEED)[0].recipe for prompt in PROMPTS]
    recipes = [
        between(start, end, step / FRAMES)
        for start, end in zip(stops, [*stops[1:], stops[0]], strict=True)
        for step in range(FRAMES)
    ]
    files = [sample.png(scale=2) for sample in sampler.sample(recipes)]
    Path("docs/walk.gif").write_bytes(gif(files))


if __name__ == "__main__":
    main()
