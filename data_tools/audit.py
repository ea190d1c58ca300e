"""A page for checking labels by eye, and how far they agree with offline facts.

Owns one self-contained HTML file: for each attribute the share of pictures on which
the metadata says the same as the pixels (colors) and the Pokédex (the rest), and a
sample of pictures with both readings side by side.
"""

import base64
import html
import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pokejax.attributes import VOCABULARIES, attributes_from_metadata
from pokejax.files import whole_file

from .metadata import describe, read_picture
from .pictures import find_metadata, metadata_path

_SHOWN = 120  # pictures; a page of some 700 kB
_SIDE = 96  # pixels
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; color: #222; background: #fff; }
table { border-collapse: collapse; } td, th { padding: .25rem .75rem; text-align: left;
  border-bottom: 1px solid #ddd; vertical-align: top; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr));
  gap: 1rem; } figure { margin: 0; border: 1px solid #ddd; padding: .75rem; }
figure img { image-rendering: pixelated; float: right; background: #eee; }
.differs { color: #a30000; font-weight: 600; } dl { margin: 0; } dt { color: #555; }
dd, dt { display: inline; margin: 0; } li { margin: .1rem 0; }
ul { padding-left: 1.2rem; }
"""


@dataclass(frozen=True)
class Comparison:
    """Both readings of one picture.

    Attributes:
      said: its metadata, by attribute.
      expected: by pixels and Pokédex; lacks what those don't know.
    """

    path: Path
    said: dict[str, str]
    expected: dict[str, str]
    prompts: tuple[str, ...]

    def differing(self) -> list[str]:
        """The attributes that both know and don't agree on."""
        return [
            name
            for name, value in self.said.items()
            if self.expected.get(name, value) != value
        ]


def compare(path: Path) -> Comparison:
    """Read the metadata of the picture at `path` and describe it anew offline.

    Raises:
      ValueError: one of both can't be done.
      OSError: there's no metadata.
    """
    beside = find_metadata(path) or metadata_path(path)
    metadata = json.loads(beside.read_text("utf-8"))
    try:
        said = attributes_from_metadata(metadata).known()
        prompts = tuple(str(prompt) for prompt in metadata["prompts"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no metadata of ours: {error}") from error
    expected = attributes_from_metadata(describe(path)).known()
    return Comparison(path, said, expected, prompts)


def agreement(comparisons: Sequence[Comparison]) -> dict[str, tuple[int, int]]:
    """For each attribute: on how many pictures both agree, out of those both know."""
    counts = {}
    for name in VOCABULARIES:
        both = [c for c in comparisons if name in c.said and name in c.expected]
        same = sum(c.said[name] == c.expected[name] for c in both)
        counts[name] = same, len(both)
    return counts


def write_audit(target: Path, paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Write the page about the pictures at `paths`.

    Args:
      target: the HTML file.
      paths: pictures; those without readable metadata beside them are left out.

    Returns:
      The `agreement`.

    Raises:
      OSError: it can't be written.
    """
    comparisons = []
    for path in paths:
        try:
            comparisons.append(compare(path))
        except (ValueError, OSError):
            continue  # the command that made the metadata has reported it
    counts = agreement(comparisons)
    with whole_file(target) as partial:
        partial.write_text(_page(comparisons, counts), "utf-8")
    return counts


def _page(comparisons: Sequence[Comparison], counts: dict[str, tuple[int, int]]) -> str:
    # Half are the most doubtful, half are a random choice that is always the same.
    by_doubt = sorted(comparisons, key=lambda c: -len(c.differing()))
    doubtful, others = by_doubt[: _SHOWN // 2], by_doubt[_SHOWN // 2 :]
    drawn = random.Random(0).sample(others, min(len(others), _SHOWN - len(doubtful)))
    rows = "\n".join(_row(name, *counts[name], comparisons) for name in counts)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        f"<title>Labels of {len(comparisons)} pictures</title>\n"
        f"<style>{_STYLE}</style>\n<h1>Labels of {len(comparisons)} pictures</h1>\n"
        "<p>Compared with what is known without a model: colors from the pixels, the "
        "rest from the Pokédex. Shape and habitat are rules or one person's judgement "
        "there, so a difference in these isn't always the label's fault.</p>\n"
        "<table><tr><th>attribute<th>agree<th>of<th>%<th>most frequent differences "
        f"(offline → label)</tr>\n{rows}\n</table>\n"
        f"<h2>Most differences</h2>\n<main>{''.join(map(_figure, doubtful))}</main>\n"
        f"<h2>Drawn by lot</h2>\n<main>{''.join(map(_figure, drawn))}</main>\n</html>\n"
    )


def _row(name: str, same: int, both: int, comparisons: Sequence[Comparison]) -> str:
    pairs = Counter(
        f"{c.expected[name]} → {c.said[name]}"
        for c in comparisons
        if name in c.differing()
    )
    often = ", ".join(f"{pair} ({n})" for pair, n in pairs.most_common(3))
    percent = f"{100 * same / both:.1f}" if both else "–"
    return f"<tr><td>{name}<td>{same}<td>{both}<td>{percent}<td>{html.escape(often)}"


def _figure(comparison: Comparison) -> str:
    lines = []
    for name, value in comparison.said.items():
        text = f"<dt>{name}</dt> <dd>{value}</dd>"
        if name in comparison.differing():
            expected = comparison.expected[name]
            text = f'<span class="differs">{text} (offline: {expected})</span>'
        lines.append(text)
    path = comparison.path
    title = html.escape(
        f"{path.parent.name}/{path.name}".encode("utf-8", "replace").decode()
    )
    prompts = "".join(f"<li>{html.escape(prompt)}" for prompt in comparison.prompts)
    return (
        f'<figure><img width="{_SIDE}" alt="{title}" src="{_thumbnail(path)}">'
        f"<b>{title}</b><dl>{'<br>'.join(lines)}</dl><ul>{prompts}</ul></figure>\n"
    )


def _thumbnail(path: Path) -> str:
    image = read_picture(path).convert("RGBA")
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)
    data = io.BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
