"""How well the rules of `pokejax.prompts.rules` read prompts that people would type.

Scores `parse_by_rules` on `tests/data/hand_prompts.json`, where each prompt
is labelled with what a sensible reader would take from it. Prompts and labels were
written without looking at the rules. The rules were later improved from a summary of
what they got wrong, so the scores aren't fully blind; rules written to fit single
prompts would make them meaningless. `docs/prompts.md` holds the table.

    python benchmarks/prompt_reader.py
    python benchmarks/prompt_reader.py --misreadings
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from pokejax.attributes import VOCABULARIES
from pokejax.prompts.rules import parse_by_rules

HAND_PROMPTS = Path(__file__).parents[1] / "tests" / "data" / "hand_prompts.json"


@dataclass(frozen=True)
class Misreading:
    """One attribute of one prompt where the reader differs from the label."""

    prompt: str
    name: str
    label: str | None
    read: str | None


@dataclass
class Score:
    """Counts for one attribute over all prompts.

    A labelled value is right, unread or wrong, so the three add up to `stated`.
    `invented` counts values read where the label says nothing, of `silent` prompts.
    """

    stated: int = 0
    right: int = 0
    unread: int = 0
    wrong: int = 0
    silent: int = 0
    invented: int = 0

    def add(self, label: str | None, read: str | None) -> None:
        """Count one prompt."""
        if label is None:
            self.silent += 1
            self.invented += read is not None
            return
        self.stated += 1
        self.right += read == label
        self.unread += read is None
        self.wrong += read is not None and read != label


def score(prompts: list[dict]) -> tuple[dict[str, Score], list[Misreading]]:
    """Read every prompt and count.

    Args:
      prompts: `prompt` and the stated `attributes` of each, as in the file.

    Returns:
      The counts by attribute in `VOCABULARIES` order, and each difference in the
      order of the prompts.
    """
    scores = {name: Score() for name in VOCABULARIES}
    misreadings = []
    for entry in prompts:
        reading = parse_by_rules(entry["prompt"]).attributes
        for name in VOCABULARIES:
            label, read = entry["attributes"].get(name), getattr(reading, name)
            scores[name].add(label, read)
            if read != label:
                misreadings.append(Misreading(entry["prompt"], name, label, read))
    return scores, misreadings


def main() -> int:
    """Print the table, and every misreading if asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--misreadings", action="store_true", help="list each one below the table"
    )
    args = parser.parse_args()
    prompts = json.loads(HAND_PROMPTS.read_text("utf-8"))
    scores, misreadings = score(prompts)
    print("| attribute | stated | right | unread | wrong | invented |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, s in scores.items():
        shares = (f"{n / max(s.stated, 1):.1%}" for n in (s.right, s.unread, s.wrong))
        print(
            f"| {name} | {s.stated} | {' | '.join(shares)} "
            f"| {s.invented} of {s.silent} |"
        )
    if args.misreadings:
        print()
        for m in misreadings:
            label = "unstated" if m.label is None else repr(m.label)
            read = "left unread" if m.read is None else f"read as {m.read!r}"
            print(f"- {m.name}: {label} {read}: {m.prompt}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
