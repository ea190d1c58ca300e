"""The real pictures that a model is held against, and what is computed of them once.

Owns the cache: beside the dataset, in files named by a hash of the pictures and of the
feature space, so a changed dataset or space can't be served stale numbers.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pokejax.attributes import Attributes
from pokejax.data.split import Dataset, Split
from pokejax.evaluation import features, judge
from pokejax.evaluation.inception import Inception
from pokejax.evaluation.judge import Judge
from pokejax.evaluation.nearest import Nearest, nearest_pictures
from pokejax.evaluation.vgg import VGG
from pokejax.files import whole_file
from pokejax.text import TextEncoder

_FEW = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Pooled:
    """Pooled features of the real pictures in another space than the pinned one.

    Attributes:
      train_pooled: `m d`, of the training pictures.
      heldout_pooled: `n d`, of the held-out ones.
    """

    train_pooled: Float[np.ndarray, "m d"]
    heldout_pooled: Float[np.ndarray, "n d"]


class Reference:
    """Different training pictures, held-out pictures, and statistics of both.

    Attributes:
      train: every training picture once, however often balancing repeats it.
      heldout: the pictures of one split, or `num` of them, evenly spaced. They stand
        in the order of the dataset, species by species.
      hash: of all those pictures and of the feature space's weights and name.
    """

    def __init__(self, dataset: Dataset, split: str, cache: Path, *, num: int = 0):
        """Pick the pictures; statistics are computed when first asked for.

        Args:
          dataset: splits and prompt embeddings.
          split: `"val"` or `"test"`.
          cache: the dataset's directory or packed file.
          num: held-out pictures to keep; 0, or more than there are, keeps all.

        Raises:
          ValueError: the split is empty.
          FileNotFoundError: LPIPS's weights aren't installed.
        """
        heldout = dataset.splits[split]
        if not len(heldout):
            raise ValueError(f"the dataset's {split} split is empty")
        n = min(num or len(heldout), len(heldout))
        rows = np.arange(n) * len(heldout) // n
        self.dataset, self.split, self._cache = dataset, split, cache
        self.train = _in_memory(_different(dataset.splits["train"]))
        self.heldout = _in_memory(heldout.take(rows))
        self.prompts = dataset.prompts or tuple(
            f"prompt {i} of the dataset" for i in range(len(dataset.text_emb))
        )
        space = features.fingerprint()
        self._train_hash = _hash(space, self.train)
        self._heldout_hash = _hash(space, self.heldout)
        both = self._train_hash + self._heldout_hash
        self.hash = hashlib.sha256(both.encode()).hexdigest()

    @functools.cached_property
    def train_pooled(self) -> Float[np.ndarray, "m d"]:
        """Pooled features of the training pictures."""
        return self._pooled(self.train, self._train_hash, "train")

    @functools.cached_property
    def heldout_pooled(self) -> Float[np.ndarray, "n d"]:
        """Pooled features of the held-out pictures."""
        return self._pooled(self.heldout, self._heldout_hash, self.split)

    @functools.cached_property
    def judge(self) -> Judge:
        """The classifier, fitted to the training pictures."""

        def compute() -> dict[str, np.ndarray]:
            found = features.extract(
                self.train.images[:], perceptual=False, progress="pictures for a judge"
            )
            return vars(judge.fit(found.layout, self.train.attributes))

        return Judge(**self._cached(f"judge{judge.VERSION}", self._train_hash, compute))

    @functools.cached_property
    def heldout_nearest(self) -> Nearest:
        """The training picture nearest to each held-out one."""

        def compute() -> dict[str, np.ndarray]:
            found = nearest_pictures(self.heldout.images[:], self.train.images[:])
            return found._asdict()

        return Nearest(**self._cached("nearest", self.hash, compute))

    def seen_by(self, network: Inception | VGG) -> Pooled:
        """The real pictures' features in another network's space.

        These networks are slow, and statistics take as many training pictures as there
        are held-out ones: a few thousand, evenly spaced, will do.
        """
        few = min(_FEW, len(self.train))
        train = self.train.take(np.arange(few) * len(self.train) // few)

        def pooled(split: Split, name: str) -> np.ndarray:
            key = _hash(network.fingerprint, split)
            caption = f"{network.name}'s features of {name} pictures"
            found = self._cached(
                network.name,
                key,
                lambda: {"pooled": network.pooled(split.images[:], progress=caption)},
            )
            return found["pooled"]

        return Pooled(pooled(train, "train"), pooled(self.heldout, self.split))

    def prompt_rows(self, seed: int) -> Int[np.ndarray, " n"]:
        """For each held-out picture a row of `prompts`, one of its own at random."""
        rng = np.random.default_rng(seed)
        picks = rng.integers(self.heldout.prompt_counts)
        return self.heldout.prompt_ids[np.arange(len(picks)), picks]

    def attributes(self) -> list[Attributes]:
        """The records of the held-out pictures."""
        return [Attributes.from_ids(ids) for ids in self.heldout.attributes]

    def _pooled(self, split: Split, key: str, name: str) -> np.ndarray:
        def compute() -> dict[str, np.ndarray]:
            progress = f"features of {name} pictures"
            found = features.extract(
                split.images[:], perceptual=False, progress=progress
            )
            return {"pooled": found.pooled}

        return self._cached("pooled", key, compute)["pooled"]

    def _cached(
        self, name: str, key: str, compute: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """What `compute` gave the first time."""
        is_file = self._cache.is_file()
        folder = self._cache.parent if is_file else self._cache
        path = folder / f"evaluation_{name}_{key[:16]}.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError):
            arrays = compute()  # absent, or left by a crash
        try:
            contiguous = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
            with whole_file(path) as partial:
                save_file(contiguous, partial)
        except (OSError, SafetensorError):
            print(f"note: {folder} isn't writable; {name} not cached", file=sys.stderr)
        return arrays


class KnownPrompts:
    """A text encoder that knows a dataset's embeddings, and asks another for the rest.

    A machine without the real encoder's weights can so draw from a packed dataset.
    """

    def __init__(self, reference: Reference, other: TextEncoder | None):
        """Take the dataset's embeddings.

        Args:
          reference: holds prompts and dataset.
          other: for all other prompts; left out if it isn't the dataset's own encoder.
        """
        self._text_emb = reference.dataset.text_emb
        self._rows = {prompt: i for i, prompt in enumerate(reference.prompts)}
        self.identity = reference.dataset.encoder
        self.dim = self._text_emb.shape[1]
        same = other is not None and other.identity == self.identity
        self.other = other if same else None

    def encode(self, prompts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Embed prompts, in order, as float32.

        Raises:
          KeyError: a prompt that isn't the dataset's, and there is no other encoder.
        """
        return np.stack([self._encode(prompt) for prompt in prompts])

    def _encode(self, prompt: str) -> np.ndarray:
        if self.other is not None and prompt not in self._rows:
            return self.other.encode([prompt])[0]
        return self._text_emb[self._rows[prompt]].astype(np.float32)


def _different(split: Split) -> Split:
    images = split.images[:]
    first: dict[bytes, int] = {}
    for row, image in enumerate(images):
        first.setdefault(image.tobytes(), row)
    return split.take(np.array(list(first.values()), np.int64))


def _in_memory(split: Split) -> Split:
    return dataclasses.replace(split, images=split.images[:])


def _hash(space: str, split: Split) -> str:
    digest = hashlib.sha256(space.encode())
    images: UInt8[np.ndarray, "n h w 3"] = split.images[:]
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(split.attributes).tobytes())
    return digest.hexdigest()
