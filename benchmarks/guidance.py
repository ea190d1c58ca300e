"""How strongly to guide a prior, and when: a table of validation pictures.

    python benchmarks/guidance.py --data DIR [--model FILE] [--guidance 1,1.5,2.25,3]

Each row draws all validation captions with the full prior, guided by so much between
two times (0 is noise, 1 the picture), and by nothing but the color outside of them, and
compares the drawings with the validation pictures. Nothing is painted, cleaned or
tinted: that would hide what the prior does. Source of guiding in an interval:
Kynkäänniemi et al., arXiv 2404.07724.

    python benchmarks/guidance.py --data DIR --given

shows instead which part of the way the prior is bad at: thumbnails of the validation
pictures themselves, hidden under noise up to some time, from where they are drawn anew.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from tqdm import tqdm

from pokejax.attributes import CONDITIONS, UNKNOWN_ID
from pokejax.evaluation import adherence, features, quality, subject
from pokejax.evaluation.reference import Reference
from pokejax.evaluation.vgg import VGG
from pokejax.images.pixels import to_float, to_uint8
from pokejax.inference import shipped
from pokejax.models.prior import COLOR_TIME, advance, times, trends

BATCH = 64
INTERVALS = ((0.0, 1.0), (0.0, 0.6), (0.15, 0.7), (0.3, 1.0))
GIVEN_TIMES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
COLOR = list(CONDITIONS).index("primary_color")


class Drawer:
    """Draws a reference's captions with a bundle's full prior."""

    def __init__(self, bundle, reference: Reference):
        self.reference = reference
        self.config = bundle.header.config.prior
        self.latent_dim = bundle.header.config.model.latent_dim
        self.attributes = reference.heldout.attributes
        rows = reference.prompt_rows(0)
        self.text_emb = reference.dataset.text_emb[rows].astype(np.float32)
        model_def, model = nnx.split(bundle.model)
        prior_def, prior = nnx.split(bundle.prior)

        @jax.jit
        def encode(images, text_emb, attributes):
            mean, _ = nnx.merge(model_def, model).encode(
                to_float(images), text_emb, attributes
            )
            return nnx.merge(prior_def, prior).normalise(mean)

        @jax.jit
        def step(x, span, text_emb, attributes, guidance, pull, before):
            flow = nnx.merge(prior_def, prior)
            one = jnp.ones(len(x))
            nothing = jnp.zeros_like(text_emb), jnp.full_like(attributes, UNKNOWN_ID)
            color = flow.embed_color(text_emb, attributes), pull * one
            conds = flow.embed(text_emb, attributes), flow.embed(*nothing)
            x, _, velocity = advance(
                *(flow, x, span[0] * one, span[1] * one, *conds, guidance * one),
                pull=color,
                before=before,
            )
            return x, velocity

        @jax.jit
        def decode(x, text_emb, attributes):
            z = nnx.merge(prior_def, prior).denormalise(x)
            image = nnx.merge(model_def, model).decode(z, text_emb, attributes)
            return to_uint8(image[..., :3])

        self._encode, self._step, self._decode = encode, step, decode

    def draw(
        self,
        guidance: float,
        interval: tuple[float, float],
        *,
        start: float = 0.0,
        pull: float | None = None,
    ) -> np.ndarray:
        """A picture of each caption.

        Args:
          guidance: 1 is none.
          interval: the times between which it counts.
          start: the time up to which its own thumbnail is kept, under noise.
          pull: guidance by the colour alone; None is the model's.
        """
        pull = self.config.color_guidance if pull is None else pull
        rng = np.random.default_rng(0)

        def one_batch(rows: np.ndarray) -> Float[Array, "b h w 3"]:
            known = self.text_emb[rows], self.attributes[rows]
            x = rng.standard_normal((len(rows), self.latent_dim), np.float32)
            if start:
                own = self._encode(self.reference.heldout.drawn(rows), *known)
                x = (1 - start) * x + start * own
            of_steps = times(self.config.steps, self.config.time_power)
            moments = [start + (1 - start) * time for time in of_steps]
            velocity = np.zeros_like(x)
            spans = itertools.pairwise(moments)
            for span, trend in zip(spans, trends(of_steps), strict=True):
                if span[0] == span[1]:
                    break
                on = interval[0] <= span[0] < interval[1]
                early = pull if span[0] < COLOR_TIME else 0.0
                strengths = np.float32(guidance if on else 1), np.float32(early)
                before = velocity, np.float32(trend)
                now = np.array(span, np.float32)
                x, velocity = self._step(x, now, *known, *strengths, before)
            return self._decode(x, *known)

        return self._in_batches(one_batch)

    def _in_batches(self, of_rows: Callable[[np.ndarray], Array]) -> np.ndarray:
        n = len(self.attributes)
        images: list[np.ndarray] = []
        for start in tqdm(range(0, n, BATCH), "drawing", unit="batch", leave=False):
            # The last batch is filled up, or it'd compile anew.
            rows = np.minimum(np.arange(start, start + BATCH), n - 1)
            images.append(np.asarray(of_rows(rows))[: n - start])
        return np.concatenate(images)


class Table:
    """Prints what drawings are worth, a line each."""

    def __init__(self, reference: Reference):
        self.reference = reference
        self.vgg = VGG()
        self.seen = reference.seen_by(self.vgg)
        print(
            "| | KID × 1000, AlexNet | VGG16 | FID over floor, AlexNet | VGG16"
            " | precision, recall | the colour |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|")

    def row(self, name: str, images: np.ndarray) -> None:
        """A line of drawings, one of each held-out caption."""
        found = features.extract(images, perceptual=False).pooled
        of_alex = quality.likeness(found, self.reference, 0)
        of_vgg = quality.likeness(self.vgg.pooled(images, progress=name), self.seen, 0)
        kids = [f"{1000 * part['drawn']['kid']:.0f}" for part in (of_alex, of_vgg)]
        fids = [f"{part['fid_over_floor']:.2f}" for part in (of_alex, of_vgg)]
        drawn = of_alex["drawn"]
        asked = self.reference.heldout.attributes[:, COLOR]
        color = (adherence.seen_colors(images) == asked).mean()
        cells = [*kids, *fids, f"{drawn['precision']:.2f}, {drawn['recall']:.2f}"]
        print("|", " | ".join([name, *cells, f"{color:.0%}"]), "|", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dataset directory")
    parser.add_argument("--model", type=Path, default=shipped.MODEL)
    parser.add_argument("--guidance", default="1,1.5,2.25,3")
    parser.add_argument(
        "--given", action="store_true", help="start from real thumbnails under noise"
    )
    args = parser.parse_args()
    bundle, dataset = subject.load(args.model, args.data)
    reference = Reference(dataset, "val", args.data)
    drawer, table = Drawer(bundle, reference), Table(reference)
    if args.given:
        for start in GIVEN_TIMES:
            images = drawer.draw(1.0, (0.0, 1.0), start=start, pull=0.0)
            table.row(f"drawn anew from {start:g}", images)
        return
    for guidance in (float(word) for word in args.guidance.split(",")):
        for since, until in INTERVALS if guidance != 1 else INTERVALS[:1]:
            images = drawer.draw(guidance, (since, until))
            table.row(f"{guidance:g} between {since:g} and {until:g}", images)


if __name__ == "__main__":
    main()
