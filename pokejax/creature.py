"""The command: a prompt in, all files of one creature out, for a game."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import CONDITIONS
from pokejax.commands import call_of
from pokejax.creatures.creature import MOST_COLORS, draw
from pokejax.creatures.pack import files_of, zipped
from pokejax.files import check_writable, whole_file
from pokejax.generate import parse_overrides, understood
from pokejax.images.finish import FEWEST_COLORS, USUAL_COLORS
from pokejax.inference import shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import check_request, count_up, recipes_for
from pokejax.inference.sampler import Sampler
from pokejax.prompts.parse import parse_prompt


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.creature"),
        description=(
            "Draw one creature as a game takes it: front in two frames, back, shinies,"
            " icon, sprite sheet with JSON, palettes, card, and the recipe of it all."
        ),
        epilog='example: %(prog)s --prompt "a small blue water turtle" --seed 42'
        " --out turtle.zip",
    )
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to draw")
    parser.add_argument("--seed", type=int, help="of the creature (default: random)")
    parser.add_argument(
        "--negative", default="", metavar="TEXT", help="what to keep away from"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="how far it strays from the typical one (default: 1)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help="how strongly the prompt steers, as a multiple of the model's own"
        " setting (default: 1)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"set an attribute ({', '.join(CONDITIONS)})",
    )
    parser.add_argument(
        "--colors",
        type=int,
        default=USUAL_COLORS,
        metavar="N",
        help="most colours of a view, not counting transparency (default: 15); all"
        " views share one palette, so that may have more",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("creature"),
        metavar="DIR_OR_ZIP",
        help="directory, or a file that ends in .zip (default: creature)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=shipped.MODEL,
        help="bundle, or directory of a training run (default: the included model)",
    )
    parser.add_argument(
        "--use-llm-parsing",
        action="store_true",
        help="let a language model read the prompt's attributes (needs OPENAI_API_KEY;"
        " the rules answer if it fails)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the creature was drawn, 2 on bad input."""
    args = parse_arguments(argv)
    to_zip = args.out.suffix.lower() == ".zip"
    try:
        overrides = parse_overrides(args.set)
        check_request(
            args.prompt,
            num=1,
            seed=args.seed,
            temperature=args.temperature,
            guidance=args.guidance,
            negative=args.negative,
        )
        if not FEWEST_COLORS <= args.colors <= MOST_COLORS:
            raise ValueError(
                f"--colors is {args.colors}; expected {FEWEST_COLORS} to {MOST_COLORS}"
            )
        check_writable(args.out, directory=not to_zip)
        sampler = Sampler.load(args.model)
        parsed = parse_prompt(args.prompt, use_llm=args.use_llm_parsing)
        if parsed.warning:
            print(f"warning: {parsed.warning}", file=sys.stderr)
        parsed = parsed.override(overrides)
        print(understood(parsed), file=sys.stderr)
        (recipe,) = recipes_for(
            parsed,
            count_up(args.seed, 1),
            temperature=args.temperature,
            guidance=args.guidance,
            colors=args.colors,
            negative=args.negative,
        )
        creature = draw(sampler, recipe)
        files = files_of(creature)
        if to_zip:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            _write(args.out, zipped(files))
        else:
            args.out.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                _write(args.out / name, data)
    except (BundleError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in creature.notes:
        print(f"note: {note}", file=sys.stderr)
    print(args.out)
    return 0


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
