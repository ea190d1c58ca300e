"""The command: prompts in, PNGs and a contact sheet out."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from tqdm import tqdm

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.attributes import (
    CONDITIONS,
    NONE,
    RELATIONS,
    STYLES,
    VIEWS,
    VOCABULARIES,
    Attributes,
)
from pokejax.commands import call_of
from pokejax.creatures.evolution import MAX_STAGES, draw_lines, line_png
from pokejax.creatures.kin import idle_frames
from pokejax.files import check_writable, whole_file
from pokejax.images import moving
from pokejax.images.finish import FEWEST_COLORS, MOST_COLORS, USUAL_COLORS
from pokejax.images.given import MAX_BYTES, PictureError, read_mask, read_picture
from pokejax.images.sheets import contact_sheet
from pokejax.images.upscale import MAX_SCALE, Upscale
from pokejax.inference import shipped
from pokejax.inference.bundle import BundleError
from pokejax.inference.recipe import (
    MAX_BEST_OF,
    MAX_SLIDE,
    MIN_SLIDE,
    Kin,
    PromptError,
    Recipe,
    Sample,
    Start,
    between,
    check_request,
    count_up,
    recipes_for,
    slides_of,
)
from pokejax.inference.sampler import Sampler
from pokejax.inference.slides import idle
from pokejax.prompts.parse import parse_prompt
from pokejax.prompts.parsed import ParsedPrompt

# What `--sweep` sets a slider to; at 1 it is the picture without sliders.
_SWEEP = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way to another picture


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line; exits with 2 on bad input."""
    parser = Parser(
        prog=call_of("pokejax.generate"),
        description=(
            "Draw sprites of new creatures from prompts. Rules read type, colours,"
            " shape, size, stage and habitat from the prompt to steer the picture;"
            " --set overrides them."
        ),
        epilog=(
            'example: %(prog)s --prompt "a small blue water turtle with a red shell"'
            " --num 4 --seed 42 --set size=Tiny"
        ),
    )
    parser.add_argument(
        "--prompt",
        action="append",
        required=True,
        metavar="TEXT",
        help="what to draw; repeat it for more prompts",
    )
    parser.add_argument(
        "--num", type=int, default=4, help="pictures per prompt (default: 4)"
    )
    parser.add_argument(
        "--best-of",
        type=int,
        default=1,
        metavar="N",
        help="draw N for each picture, seeds counting on, and keep the one that a small"
        f" judge likes best, 1 to {MAX_BEST_OF}; its seed draws it again (default: 1)",
    )
    parser.add_argument(
        "--negative",
        default="",
        metavar="TEXT",
        help="what to keep away from; takes a model with a learned prior, and works"
        " the more the higher --guidance",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="seed of the first picture; the others count up from it (default: random)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="how far pictures stray from the typical one; 0 gives the typical one"
        " (default: 1)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help="how strongly the prompt steers, as a multiple of the model's own"
        " setting (default: 1)",
    )
    parser.add_argument(
        "--prior",
        choices=("flow", "full", "normal"),
        default="flow",
        help="where latents come from: the model's learned prior, if it has one, and"
        " its quick one where that will do (flow); never the quick one (full); or"
        " N(0, 1) (normal) (default: flow)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"set an attribute ({', '.join(CONDITIONS)})",
    )
    parser.add_argument(
        "--slide",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help=f"how much of an attribute ({', '.join(VOCABULARIES)}), from"
        f" {MIN_SLIDE} to {MAX_SLIDE}: 1 as it is, 0 as if it weren't said, 2 twice as"
        " much, -1 away from it; takes a model with a learned prior",
    )
    parser.add_argument(
        "--sweep",
        choices=tuple(VOCABULARIES),
        metavar="NAME",
        help="draw each picture with this attribute's slider at"
        f" {', '.join(f'{value:g}' for value in _SWEEP)}",
    )
    parser.add_argument(
        "--to-prompt",
        metavar="TEXT",
        help="go from each picture to one of this prompt, with the same seed",
    )
    parser.add_argument(
        "--to-set",
        action="append",
        metavar="NAME=VALUE",
        help="attributes of that one (default: what --set says)",
    )
    parser.add_argument(
        "--to-seed",
        type=int,
        metavar="SEED",
        help="seed of that one, of the first picture; the others count up from it",
    )
    parser.add_argument(
        "--mix",
        type=float,
        nargs="+",
        metavar="M",
        help="how far along, from 0 to 1, once or more often (default:"
        f" {' '.join(f'{mix:g}' for mix in _STOPS)})",
    )
    for name, vocabulary, usual in (
        ("view", VIEWS, "front, unless the prompt says otherwise"),
        ("style", STYLES, "native"),
    ):
        parser.add_argument(
            f"--{name}",
            choices=vocabulary,
            help=f"{name} of the picture (default: {usual})",
        )
    parser.add_argument(
        "--finish",
        choices=("raw", "pixel"),
        help="pixel: cut out and reduced to a small palette, like pixel art; raw: as"
        " drawn (default: pixel for models that draw pixel art)",
    )
    parser.add_argument(
        "--colors",
        type=int,
        default=USUAL_COLORS,
        metavar="N",
        help="most colours in that palette, not counting transparency (default: 15)",
    )
    parser.add_argument(
        "--shiny",
        action="store_true",
        help="give the palette of a shiny, which the seed picks; finishes as pixel",
    )
    parser.add_argument(
        "--scale",
        type=int,
        default=1,
        metavar="N",
        help="enlarge to N times the pixels a side, 1 to 8 (default: 1)",
    )
    parser.add_argument(
        "--upscale",
        choices=get_args(Upscale),
        default="nearest",
        help="how: squares of one colour, or Scale2x, which rounds off staircases, for"
        " the factors 2 and 3 of N (default: nearest)",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="PICTURE",
        help="start from a picture, e.g. a doodle in flat colours, of any size",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="S",
        help="how far to move away from that picture, from 0 (as the model sees it) to"
        " 1 (only what is outside a mask counts) (default: 0.6, or 1 with a mask)",
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="PICTURE",
        help="redraw only its light parts, or its transparent parts if it has any; the"
        " rest of --init stays as it is, to the pixel",
    )
    parser.add_argument(
        "--relative",
        type=Path,
        metavar="PICTURE",
        help="draw the same creature, or its next stage, beside its picture; with --as",
    )
    parser.add_argument(
        "--as",
        dest="relation",
        choices=RELATIONS,
        help="what to draw of it: the creature from the front, from behind, as it"
        " evolves, or the other frame of its animation",
    )
    parser.add_argument(
        "--stages",
        type=int,
        default=1,
        metavar="N",
        help="draw each creature's next stages, too, up to N of them in all, 1 to"
        f" {MAX_STAGES}, and all on one sheet",
    )
    parser.add_argument(
        "--out",
        type=_directory,
        default=Path("outputs"),
        help="directory (default: outputs)",
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
    parser.add_argument(
        "--json", action="store_true", help="report what was drawn as JSON"
    )
    return parser.parse_args(argv)


def _directory(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} names no directory")
    return Path(text)


def parse_overrides(words: Sequence[str]) -> Attributes:
    """The record of `NAME=VALUE` words.

    Raises:
      ValueError: a word that isn't `NAME=VALUE`, or an unknown name or value.
    """
    names: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--set {word!r}: expected NAME=VALUE, e.g. size=Tiny")
        names[name.strip()] = value.strip()
    return Attributes.from_names(names)


def parse_slides(words: Sequence[str]) -> dict[str, float]:
    """The sliders in `NAME=NUMBER` words.

    Raises:
      ValueError: a word that isn't `NAME=NUMBER`, an unknown name, or a number out of
        range.
    """
    values: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            told = f"--slide {word!r}: expected NAME=NUMBER, e.g. shape=1.5"
            raise ValueError(told) from None
    return dict(slides_of(values))


def mixes_of(args: argparse.Namespace) -> list[float]:
    """How far along the way to another picture to draw; 0 alone if there is none.

    Raises:
      ValueError: a number out of range, or the arguments don't fit together.
    """
    if args.to_prompt is None and args.to_set is None and args.to_seed is None:
        if args.mix is not None:
            raise ValueError("--mix needs --to-prompt, --to-set or --to-seed")
        return [0.0]
    for name, given in (
        ("--sweep", args.sweep),
        ("--best-of", args.best_of > 1),
        ("--stages", args.stages > 1),
        ("--relative", args.relative),
    ):
        if given:
            raise ValueError(f"{name} doesn't go with a way to another picture")
    mixes = list(_STOPS) if args.mix is None else args.mix
    for mix in mixes:
        if not 0 <= mix <= 1:
            raise ValueError(f"--mix is {mix}; expected 0 to 1")
    for prompt in args.prompt if args.to_prompt is None else [args.to_prompt]:
        try:
            check_request(prompt, num=args.num, seed=args.to_seed, temperature=1)
        except PromptError as error:
            raise ValueError(f"where --mix leads: {error}") from None
    return mixes


def start_of(args: argparse.Namespace, size: int) -> Start | None:
    """What pictures of `size` pixels a side start from, if a picture is given.

    Raises:
      ValueError: a file can't be used, or the arguments don't fit together.
    """
    if args.init is None:
        for name in ("mask", "strength"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} needs --init, the picture to start from")
        return None
    picture = _read(args.init, "--init", partial(read_picture, size=size))
    mask = args.mask and _read(args.mask, "--mask", partial(read_mask, size=size))
    return Start.of(picture, mask, args.strength)


def kin_of(args: argparse.Namespace, size: int) -> Kin | None:
    """The relative that pictures of `size` pixels a side are drawn beside, if given.

    Raises:
      ValueError: the file can't be used, or the arguments don't fit together.
    """
    if args.relative is None and args.relation is None:
        return None
    if args.relative is None or args.relation is None:
        raise ValueError("--relative PICTURE and --as RELATION need each other")
    picture = _read(args.relative, "--relative", partial(read_picture, size=size))
    return Kin(picture.tobytes(), args.relation)


def _read(path: Path, name: str, read: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return read(file.read(MAX_BYTES + 1))
    except (OSError, PictureError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{name} {path}: {told}") from None


def file_stem(prompt: str) -> str:
    """A short, safe file name for a prompt: letters, digits and hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:60].rstrip("-") or "prompt"


def write_line(
    out: Path,
    line: Sequence[Sample],
    *,
    scale: int = 1,
    upscale: Upscale = "nearest",
) -> tuple[list[Path], list[Path]]:
    """Write a creature's stages, mostly one, as PNGs, enlarged as said.

    Returns:
      Their paths, and those of what is made of them: the sheet of several stages; a
      GIF and an animated PNG, if it is the second frame of an animation.
    """
    first = line[0]
    slid = "".join(f"_{name}={value:g}" for name, value in first.recipe.slides)
    mixed = f"_mix={first.recipe.mix:g}" if first.recipe.towards else ""
    stem = f"{file_stem(first.prompt)}_{first.seed}{slid}{mixed}"
    more: dict[str, bytes] = {}
    if len(line) > 1:
        more[f"{stem}_line.png"] = line_png(line, scale=scale, upscale=upscale)
    kin = first.recipe.kin
    if kin and kin.relation == "frame" and first.art:
        frames = idle_frames(first, scale=scale, upscale=upscale)
        more[f"{stem}_idle.gif"] = moving.gif(frames)
        more[f"{stem}_idle.png"] = moving.apng(frames, first.texts)
    own = {
        f"{stem}{f'_stage{i + 1}' if i else ''}.png": sample.png(
            scale=scale, upscale=upscale
        )
        for i, sample in enumerate(line)
    }
    for name, data in (own | more).items():
        with whole_file(out / name) as unfinished:
            unfinished.write_bytes(data)
    return [out / name for name in own], [out / name for name in more]


def understood(parsed: ParsedPrompt) -> str:
    """One line of what was read in a prompt, and of what wasn't."""
    known = parsed.attributes.known()
    read = ", ".join(f"{name} {value}" for name, value in known.items())
    line = f"{parsed.prompt[:60]!r}: {read or 'nothing understood'}"
    if parsed.parts:
        line += "; " + ", ".join(
            f"no {place}" if color == NONE else f"{place} {color}"
            for place, color in parsed.parts.items()
        )
    if parsed.unrecognised:
        line += f"; not understood: {', '.join(parsed.unrecognised)[:200]}"
    return line


def read(
    prompt: str, overrides: Attributes, args: argparse.Namespace, sampler: Sampler
) -> ParsedPrompt:
    """What a prompt says, with `overrides`; what is amiss goes to stderr."""
    parsed = parse_prompt(prompt, use_llm=args.use_llm_parsing)
    if parsed.warning:
        print(f"warning: {parsed.warning}", file=sys.stderr)
    parsed = parsed.override(overrides)
    asked = parsed.attributes.known().keys() & sampler.unheeded
    if asked and sampler.bundle.model.conditional:
        print(
            f"warning: {args.model} was trained without"
            f" {' and '.join(sorted(asked))}, and ignores this",
            file=sys.stderr,
        )
    if not args.json:
        tqdm.write(understood(parsed), file=sys.stderr)
    return parsed


def reading(parsed: ParsedPrompt) -> dict[str, object]:
    """What was read in a prompt, as `--json` reports it."""
    return {
        "prompt": parsed.prompt,
        "attributes": parsed.attributes.known(),
        "sources": dict(parsed.sources),
        "unrecognised": parsed.unrecognised,
        "parts": dict(parsed.parts),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if all was drawn, 2 on bad input."""
    args = parse_arguments(argv)
    try:
        drawn = Attributes(view=args.view, style=args.style)
        overrides = parse_overrides(args.set).override(drawn)
        to_overrides = overrides
        if args.to_set is not None:
            to_overrides = parse_overrides(args.to_set).override(drawn)
        slides = parse_slides(args.slide)
        swept = [slides]
        if args.sweep:
            swept = [{**slides, args.sweep: value} for value in _SWEEP]
        for prompt in args.prompt:
            check_request(
                prompt,
                num=args.num,
                seed=args.seed,
                temperature=args.temperature,
                guidance=args.guidance,
                negative=args.negative,
                best_of=args.best_of,
            )
        mixes = mixes_of(args)
        if args.best_of > 1 and args.sweep:
            raise ValueError("--best-of compares seeds, and --sweep sliders; leave one")
        if not FEWEST_COLORS <= args.colors <= MOST_COLORS:
            raise ValueError(
                f"--colors is {args.colors}; expected {FEWEST_COLORS} to {MOST_COLORS}"
            )
        if not 1 <= args.scale <= MAX_SCALE:
            raise ValueError(f"--scale is {args.scale}; expected 1 to {MAX_SCALE}")
        if not 1 <= args.stages <= MAX_STAGES:
            raise ValueError(f"--stages is {args.stages}; expected 1 to {MAX_STAGES}")
        if args.shiny and args.finish == "raw":
            raise ValueError(
                "--shiny gives a palette another one; expected --finish pixel"
            )
        check_writable(args.out, directory=True)
        sampler = Sampler.load(args.model, prior=args.prior)
        if not sampler.bundle.model.conditional:
            print(
                f"warning: {args.model} is unconditional: the prompt changes nothing",
                file=sys.stderr,
            )
        for name, given in (("negative", args.negative.strip()), ("slide", swept[0])):
            if given and not sampler.takes_pictures:
                print(
                    f"warning: {args.model} has no learned prior: --{name} changes"
                    " nothing",
                    file=sys.stderr,
                )
        pixel = sampler.usual_colors or args.shiny
        finish = args.finish or ("pixel" if pixel else "raw")
        colors = args.colors if finish == "pixel" else 0
        start = start_of(args, sampler.image_size)
        kin = kin_of(args, sampler.image_size)
        if args.best_of > 1 and not sampler.picks:
            raise ValueError(
                f"--best-of: {args.model} has no picker; {call_of('pokejax.picker')}"
                " gives it one"
            )
        if kin:
            sampler.check_relation(kin.relation)
        if args.stages > 1:
            sampler.check_relation("evolution")
        args.out.mkdir(parents=True, exist_ok=True)
        rows: list[list[Sample]] = []
        report: list[dict[str, object]] = []
        written: list[Path] = []
        prompts: list[dict[str, object]] = []
        progress = tqdm(
            args.prompt, unit="prompt", disable=len(args.prompt) == 1 or None
        )
        for prompt in progress:
            parsed = end = read(prompt, overrides, args, sampler)
            told = reading(parsed)
            if mixes != [0.0]:
                to_prompt = prompt if args.to_prompt is None else args.to_prompt
                end = read(to_prompt, to_overrides, args, sampler)
                told["to"] = reading(end)
            prompts.append(told)
            known = parsed.attributes.known() | end.attributes.known()
            for name in idle(swept[0], known):
                print(
                    f"warning: --slide {name} changes nothing: {prompt[:60]!r} doesn't"
                    f" say it, but --set {name}=… can",
                    file=sys.stderr,
                )
            recipes = recipes_for(
                parsed,
                count_up(args.seed, args.num * args.best_of),
                temperature=args.temperature,
                guidance=args.guidance,
                colors=colors,
                start=start,
                negative=args.negative,
                kin=kin,
                shiny=args.shiny,
            )
            first = recipes[0].seed if args.to_seed is None else args.to_seed
            ends = [
                Recipe(end.prompt, end.attributes, seed)
                for seed in count_up(first, len(recipes))
            ]
            drawn = sampler.sample(
                [
                    replace(between(recipe, to, mix), slides=slides_of(s))
                    for recipe, to in zip(recipes, ends, strict=True)
                    for mix in mixes
                    for s in swept
                ]
            )
            lines = draw_lines(sampler, sampler.best(drawn, args.best_of), args.stages)
            rows.append([sample for line in lines for sample in line])
            for line in lines:
                paths, more = write_line(
                    args.out, line, scale=args.scale, upscale=args.upscale
                )
                written += [*paths, *more]
                report += [
                    {
                        "path": str(path),
                        "prompt": prompt,
                        "seed": sample.seed,
                        "attributes": sample.attributes.known(),
                        "slides": dict(sample.recipe.slides),
                        "mix": sample.recipe.mix,
                        "model": sample.model_id,
                    }
                    for sample, path in zip(line, paths, strict=True)
                ]
        sheet = args.out / "contact_sheet.png"
        with whole_file(sheet) as unfinished:
            images = [[s.image for s in row] for row in rows]
            along = len(mixes) * len(swept)
            columns = along * args.stages if along > 1 else 12
            contact_sheet(images, args.prompt, columns=columns).save(unfinished)
    except (PromptError, BundleError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        answer = {"prompts": prompts, "samples": report, "contact_sheet": str(sheet)}
        print(json.dumps(answer, indent=2))
    else:
        print(*written, sheet, sep="\n")
    return 0


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
