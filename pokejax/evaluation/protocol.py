"""The protocol of an evaluation: which pictures, prompts and seeds, in which order.

The parts of `pokejax.evaluation` look at what is drawn here; `quick` is for use during
training.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from pokejax.attributes import CONDITIONS
from pokejax.evaluation import (
    adherence,
    faces,
    features,
    nearest,
    quality,
    report,
    subject,
)
from pokejax.evaluation.inception import Inception
from pokejax.evaluation.reference import Reference
from pokejax.evaluation.vgg import VGG
from pokejax.images.pixels import to_uint8
from pokejax.inference.recipe import Recipe
from pokejax.inference.sampler import Sampler
from pokejax.prompts.rules import parse_by_rules

# Rows of the contact sheet, which shows seeds 0 to 15 of each.
SHEET_PROMPTS: tuple[str, ...] = (
    "a red fire lizard",
    "a blue water fish",
    "a small blue water turtle with a red shell",
    "a big green grass dinosaur",
    "a yellow electric mouse",
    "a purple ghost",
    "a pink fairy creature",
    "a brown rock golem from the mountains",
)
_SHEET_COLUMNS = 16
_COLOR_PROMPTS = 220  # pictures: 20 of each colour
_SWAPS = 128
_DIVERSITY_PROMPTS = 128


def quick(sampler: Sampler, reference: Reference, *, seed: int = 0) -> dict[str, Any]:
    """KID, FID and colour adherence on the reference's pictures, in seconds.

    Args:
      sampler: the model, from `subject.sampler_for`.
      reference: keep it over several calls; its statistics are computed once.
      seed: of prompts and pictures.

    Returns:
      `generation` and `adherence` as the command writes them, for colour only.
    """
    images = _draw_heldout(sampler, reference, seed, 0)
    drawn = features.extract(images, perceptual=False, progress="features").pooled
    colors = {
        kind: {"primary_color": adherence.seen_colors(shown)}
        for kind, shown in (("drawn", images), ("real", reference.heldout.images[:]))
    }
    return {
        "generation": quality.likeness(drawn, reference, seed),
        "adherence": adherence.adherence(reference.heldout.attributes, **colors),
    }


class Evaluation:
    """Everything at once: results by part, contact sheets by name, seconds by part."""

    def __init__(
        self,
        sampler: Sampler,
        reference: Reference,
        *,
        seed: int,
        samples: int,
        inception: Inception | None,
    ):
        self.sampler, self.reference, self.inception = sampler, reference, inception
        self.seed, self.samples = seed, samples
        self.real = reference.heldout.images[:]
        self.results: dict[str, Any] = {"left_out": []}
        self.sheets: dict[str, Image.Image] = {}
        self.seconds: dict[str, float] = {}

    def measure(self) -> None:
        """Measure all parts."""
        reference = self.reference
        with self._timed("reference"):
            _ = reference.heldout_pooled, reference.train_pooled, reference.judge
            _ = reference.heldout_nearest
        with self._timed("reconstruction"):
            rows = reference.prompt_rows(self.seed)
            rebuilt = subject.rebuild(self.sampler.bundle, reference, rows)
            part = quality.reconstruction(rebuilt, self.real)
            self.results["reconstruction"] = part | self._rebuilt(rebuilt)
            self.results["latent"] = quality.latent_health(rebuilt)
        with self._timed("drawing"):
            images = _draw_heldout(self.sampler, reference, self.seed, 0)
        with self._timed("generation"):
            found = features.extract(images, perceptual=False, progress="features")
            part = quality.likeness(found.pooled, reference, self.seed)
            kinds = quality.kid_by_kind(found.pooled, reference)
            self.results["generation"] = part | {"kid_by_kind": kinds}
        for network in self._networks():
            with self._timed(network.name):
                pooled = network.pooled(images, progress=f"{network.name}'s features")
                real = reference.seen_by(network)
                part = quality.likeness(pooled, real, self.seed)
                self.results[network.name] = part
        with self._timed("adherence"):
            self._adherence(images, found.layout)
        with self._timed("faces"):
            self.results["faces"] = self._faces(found.pooled)
        with self._timed("copying"):
            self._copying(images)
        with self._timed("diversity"):
            self._diversity(images)
        with self._timed("prompts"):
            self._prompts()
        some = self._spread()
        self.sheets["heldout"] = report.captioned(
            {
                "real, never trained on": self.real[some],
                "rebuilt": to_uint8(rebuilt.images[some]),
                "drawn from its prompt and attributes": images[some],
            }
        )

    def _networks(self) -> list[Inception | VGG]:
        """Those that look at the pictures beside AlexNet."""
        try:
            found: list[Inception | VGG] = [VGG()]
        except FileNotFoundError:
            self.results["left_out"].append("VGG16 (its weights aren't installed)")
            found = []
        return [*found, self.inception] if self.inception else found

    def _rebuilt(self, rebuilt: subject.Rebuilt) -> dict[str, Any]:
        """How good pictures could be if latents were drawn as real ones lie."""
        images = to_uint8(rebuilt.images)
        found = features.extract(images, perceptual=False, progress="features")
        near = quality.likeness(found.pooled, self.reference, self.seed)
        colors = {"primary_color": adherence.seen_colors(images)}
        real = {"primary_color": adherence.seen_colors(self.real)}
        asked = self.reference.heldout.attributes
        scores = adherence.adherence(asked, colors, real)
        return {
            "fid_over_floor": near["fid_over_floor"],
            "kid": near["drawn"]["kid"],
            "color_over_real": scores["primary_color"]["drawn_over_real"],
        }

    def _faces(self, drawn: Float[np.ndarray, "n d"]) -> dict[str, Any]:
        """What judges say of drawn pictures, and of the real ones they answer to."""
        reference, seed = self.reference, self.seed
        real, train = reference.heldout_pooled, reference.train_pooled
        some = np.random.default_rng(seed).permutation(len(train))[: len(real)]
        part: dict[str, Any] = {
            "told_from_real": faces.told_apart(drawn, real, seed),
            "real_told_from_real": faces.told_apart(train[some], real, seed),
        }
        view = list(CONDITIONS).index("view")
        front = CONDITIONS["view"].index("front")
        is_front = reference.train.attributes[:, view] == front
        asked = reference.heldout.attributes[:, view] == front
        if asked.any() and is_front.any() and not is_front.all():
            sets = drawn[asked], real[asked]
            shares = faces.front_share(train, is_front, sets)
            part["seen_as_front"], part["real_seen_as_front"] = shares
        text_emb = reference.dataset.text_emb
        prompts = reference.train.prompt_ids[:, 0]
        wished = text_emb[reference.prompt_rows(seed)].astype(np.float64)
        if len(wished) > faces.RETRIEVED_AMONG:
            found = faces.retrieval(
                train, text_emb[prompts].astype(np.float64), (drawn, real), wished, seed
            )
            part["retrieved"], part["real_retrieved"] = found
        return part

    def _adherence(self, images: UInt8[np.ndarray, "n h w 3"], layout) -> None:
        judge = self.reference.judge
        colors = adherence.seen_colors(images)
        self.results["adherence"] = adherence.adherence(
            self.reference.heldout.attributes,
            {"primary_color": colors, **judge.read(layout)},
            adherence.read_all(judge, self.real, "reading real pictures"),
        )

    def _copying(self, images: UInt8[np.ndarray, "n h w 3"]) -> None:
        train = self.reference.train.images[:]
        found = nearest.nearest_pictures(images, train)
        part = quality.copying(found, self.reference.heldout_nearest)
        self.results["copying"] = part
        some = self._spread()
        closest = np.argsort(found.distance, kind="stable")[:_SHEET_COLUMNS]
        self.sheets["nearest"] = report.captioned(
            {
                "drawn": images[some],
                "nearest training picture, or its mirror image": train[found.row[some]],
                "drawn, the nearest of all": images[closest],
                "nearest training picture": train[found.row[closest]],
            }
        )

    def _diversity(self, images: UInt8[np.ndarray, "n h w 3"]) -> None:
        if self.samples < 2:
            self.results["left_out"].append("diversity (one sample a prompt)")
            return
        n = min(_DIVERSITY_PROMPTS, len(images))
        rows = np.arange(n) * len(images) // n
        more = [
            _draw_heldout(self.sampler, self.reference, self.seed, i, rows)
            for i in range(1, self.samples)
        ]
        groups = np.stack([images[rows], *more], axis=1)
        part = quality.diversity(list(groups), self.real, self.seed)
        self.results["diversity"] = part

    def _prompts(self) -> None:
        """Whatever needs prompts that aren't the dataset's."""
        if not subject.reads_any_prompt(self.sampler):
            reason = "plain prompts, swap test and their sheet (no text encoder here)"
            self.results["left_out"].append(reason)
            return
        self.results["color_prompts"] = adherence.color_prompts(
            self.sampler, num=_COLOR_PROMPTS, seed=self.seed
        )
        self.results["swap"] = adherence.swap_test(
            self.sampler, self.reference, num=_SWAPS, seed=self.seed
        )
        recipes = [
            Recipe(prompt, parse_by_rules(prompt).attributes, seed)
            for prompt in SHEET_PROMPTS
            for seed in range(_SHEET_COLUMNS)
        ]
        images = subject.draw(self.sampler, recipes, "contact sheet")
        rows = np.split(images, len(SHEET_PROMPTS))
        self.sheets["prompts"] = report.captioned(
            dict(zip(SHEET_PROMPTS, rows, strict=True))
        )

    def _spread(self) -> np.ndarray:
        """Rows of sixteen held-out pictures, evenly spaced."""
        n = min(_SHEET_COLUMNS, len(self.real))
        return np.arange(n) * len(self.real) // n

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - start, 2)


def _draw_heldout(
    sampler: Sampler,
    reference: Reference,
    seed: int,
    sample: int,
    rows: np.ndarray | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    """Draw held-out pictures' prompts and attributes, no seed twice."""
    records, prompts = reference.attributes(), reference.prompt_rows(seed)
    n = len(records)
    recipes = [
        Recipe(reference.prompts[prompts[i]], records[i], seed + sample * n + int(i))
        for i in (np.arange(n) if rows is None else rows)
    ]
    return subject.draw(sampler, recipes, f"drawing, sample {sample + 1}")
