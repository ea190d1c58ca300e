"""The inference bundle: one safetensors file, weights and a JSON header, no pickle.

Owns the file's layout and the check that weights fit the model that the header
describes. It needs neither optax nor Orbax: those belong to training.
"""

import hashlib
import json
import os
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pokejax import config as config_lib
from pokejax.attributes import CONDITIONS
from pokejax.commands import call_of
from pokejax.config import Config, PriorConfig
from pokejax.files import whole_file
from pokejax.inference import shipped
from pokejax.models.cvae import CVAE
from pokejax.models.picker import Picker
from pokejax.models.prior import Prior
from pokejax.models.products import bfloat16_dot_general

_HEADER_KEY = "pokejax"
_HASH_KEY = "pokejax_sha256"
_FORMAT_VERSION = 1
# In front of the names of their weights.
_PRIOR, _QUICK, _PICKER = "prior.", "quick.", "picker."
_WIDEST_TEXT = 2**16
_DTYPES = ("float32", "float16")
_T = TypeVar("_T")


class BundleError(ValueError):
    """A bundle that can't be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Header:
    """What must be known, beside the weights, to use a model or train it further.

    Attributes:
      config: of the run that made the weights.
      text_dim: length of a text embedding.
      encoder: identity of the text encoder that the model was trained with.
      epoch: how many passes over the training set the weights have seen.
      val_loss: on the validation split, at beta = 1.
      fingerprint: short hashes of what it was trained on, by name, from
        `pokejax.data.fingerprint`; empty if an earlier version trained it.
      quick: of the run that made the quick prior, if there is one in the bundle.
    """

    config: Config
    text_dim: int
    encoder: str
    epoch: int
    val_loss: float
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    quick: PriorConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """The header as plain values for JSON, with the attribute vocabularies."""
        return {
            "format_version": _FORMAT_VERSION,
            "config": config_lib.to_dict(self.config),
            "text_dim": self.text_dim,
            "encoder": self.encoder,
            "epoch": self.epoch,
            "val_loss": self.val_loss,
            "fingerprint": dict(self.fingerprint),
            "vocabularies": {name: list(v) for name, v in CONDITIONS.items()},
            **({"quick": asdict(self.quick)} if self.quick else {}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], origin: str | Path) -> "Header":
        """The inverse of `to_dict`.

        Raises:
          BundleError: another format version, other vocabularies, or missing keys.
        """
        try:
            version = values["format_version"]
            if version != _FORMAT_VERSION:
                raise BundleError(
                    f"{origin} has format version {reprlib.repr(version)}; this pokejax"
                    f" reads {_FORMAT_VERSION}"
                )
            if values["vocabularies"] != {k: list(v) for k, v in CONDITIONS.items()}:
                raise BundleError(
                    f"{origin} was made with other attribute vocabularies"
                )
            text_dim = _of_type(values, "text_dim", int)
            if not 0 < text_dim <= _WIDEST_TEXT:
                raise BundleError(
                    f"{origin}: text_dim is {text_dim}; expected 1 to {_WIDEST_TEXT}"
                )
            # Earlier versions wrote none.
            fingerprint = _of_type({"fingerprint": {}} | values, "fingerprint", dict)
            quick = None
            if "quick" in values:
                settings = {"prior": _of_type(values, "quick", dict)}
                quick = config_lib.from_dict(settings).prior
            return cls(
                config=config_lib.from_dict(values["config"]),
                quick=quick,
                text_dim=text_dim,
                encoder=_of_type(values, "encoder", str),
                epoch=_of_type(values, "epoch", int),
                val_loss=_of_type(values, "val_loss", float),
                fingerprint={k: _of_type(fingerprint, k, str) for k in fingerprint},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{origin} has a broken header: {error!r}") from None
        except config_lib.ConfigError as error:
            raise BundleError(f"{origin}: {error}") from None


def _of_type(values: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = values[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {reprlib.repr(value)}; expected {kind.__name__}")
    return value


@dataclass(frozen=True)
class Bundle:
    """A model ready to be used.

    Attributes:
      header: what the weights are.
      model: the CVAE with its weights.
      prior: the learned prior over its latents, or None: then z ~ N(0, 1).
      quick: a prior that takes a few steps to where that one's guidance leads, or None.
      model_id: `pokejax-` and 12 digits of a hash of all that decides its pictures:
        weights, and how the prior is sampled.
      picker: what tells its better drawings from the others, or None.
    """

    header: Header
    model: CVAE
    prior: Prior | None
    model_id: str
    picker: Picker | None = None
    quick: Prior | None = None


def new_model(header: Header, *, rngs: nnx.Rngs) -> CVAE:
    """A freshly initialised model of the header's sizes."""
    return CVAE(
        header.config.model,
        image_size=header.config.data.image_size,
        text_dim=header.text_dim,
        rngs=rngs,
    )


def new_prior(header: Header, *, rngs: nnx.Rngs) -> Prior:
    """A freshly initialised prior of the header's sizes.

    It draws in the precision that it is trained in: rounding its products to bfloat16
    saves a third of the time even on CPUs that have no units for it.
    """
    rounds = header.config.model.compute_dtype == "bfloat16"
    return Prior(
        header.config.prior,
        header.config.model,
        image_size=header.config.data.image_size,
        text_dim=header.text_dim,
        rngs=rngs,
        dot_general=bfloat16_dot_general if rounds else jax.lax.dot_general,
    )


def write(
    path: Path,
    header: Header,
    params: nnx.State,
    prior: nnx.State | None = None,
    *,
    quick: nnx.State | None = None,
    dtype: str = "float32",
) -> None:
    """Write a bundle; the file appears complete or not at all.

    Args:
      path: of the file.
      header: what the weights are.
      params: of the CVAE.
      prior: of the prior, if there is one.
      quick: of the quick prior, if there is one; `with_quick` makes the header.
      dtype: that weights are kept in, `"float32"` or `"float16"`.

    Raises:
      BundleError: a weight is not finite, in this dtype.
    """
    leaves = dict(named_leaves(params))
    if prior is not None:
        leaves = with_prior(leaves, dict(named_leaves(prior)))
    if quick is not None:
        leaves |= {_QUICK + name: value for name, value in named_leaves(quick)}
    with np.errstate(over="ignore"):  # what float16 can't hold is refused below
        arrays = {name: np.asarray(value, dtype) for name, value in leaves.items()}
    _write_arrays(path, json.dumps(header.to_dict(), sort_keys=True), arrays)


def write_picker(path: Path, out: Path, picker: nnx.State) -> None:
    """Write the bundle at `path` to `out`, with this picker in it; all else stays.

    Raises:
      BundleError: a bundle that can't be used, or a weight of the picker isn't finite.
    """
    read(path)
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()[_HEADER_KEY]
        names = [name for name in file.keys() if not name.startswith(_PICKER)]  # noqa: SIM118
        arrays = {name: file.get_tensor(name) for name in names}
    dtype = next(iter(arrays.values())).dtype
    for name, value in named_leaves(picker):
        arrays[_PICKER + name] = np.asarray(value, dtype)
    _write_arrays(out, text, arrays)


def with_quick(header: Header, quick: "Bundle", origin: Path) -> Header:
    """The header of a bundle that `write` gets this one's prior for, as its quick one.

    Args:
      header: of a bundle with a prior.
      quick: what `prior.distil` trained.
      origin: where that is from.

    Raises:
      BundleError: it isn't that, or draws another kind of latent.
    """
    if not quick.header.config.prior.distil:
        raise BundleError(
            f"{origin} holds no quick prior; expected what --prior.distil trains"
        )
    mine, other = (
        (h.config.model.latent, h.config.model.latent_dim, h.encoder)
        for h in (header, quick.header)
    )
    if mine != other:
        raise BundleError(
            f"{origin} draws latents of another kind: {other}; expected {mine}"
        )
    return replace(header, quick=quick.header.config.prior)


def _write_arrays(path: Path, text: str, arrays: dict[str, np.ndarray]) -> None:
    _check_finite(arrays, path)
    metadata = {_HEADER_KEY: text, _HASH_KEY: _hash_of_all(text, arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(save(arrays, metadata=metadata))


def read(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
      BundleError: no such file, not a bundle, truncated or altered, weights that don't
        fit the header's model or aren't finite (the weight is named).
    """
    if not os.path.isfile(path):  # which says no to any name that can't be one
        raise BundleError(
            f"no model at {path}: expected a bundle, as written by training or"
            f" {call_of('pokejax.export')}"
        )
    if path.resolve() == shipped.MODEL.resolve():
        _check_shipped(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    # The last two are what safetensors says of a type that numpy hasn't.
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        told = _shown(str(error))
        raise BundleError(f"{path} is not a readable bundle: {told}") from None
    text = metadata.get(_HEADER_KEY)
    if text is None:
        raise BundleError(f"{path} is a safetensors file, but not a pokejax bundle")
    # Files of earlier versions have no hash.
    if metadata.get(_HASH_KEY) not in (None, _hash_of_all(text, arrays)):
        raise BundleError(
            f"{path} is damaged: its content doesn't match its SHA-256; export it"
            " again, or use a copy"
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} has a broken header: {error}") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path} has a broken header: it is no object")
    header = Header.from_dict(values, path)
    return from_arrays(header, arrays, origin=path)


def _check_shipped(path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != shipped.SHA256:
        raise BundleError(
            f"{path} is not the model that this version ships: its SHA-256 is"
            f" {digest}; expected {shipped.SHA256}"
        )


def with_prior(model: dict[str, Any], prior: dict[str, Any]) -> dict[str, Any]:
    """The named weights of both, as a bundle holds them."""
    return model | {_PRIOR + name: value for name, value in prior.items()}


def from_arrays(
    header: Header, arrays: dict[str, np.ndarray], *, origin: str | Path
) -> Bundle:
    """A bundle of named arrays, each checked against the header's model.

    Raises:
      BundleError: a weight is missing, unknown, of another shape, or not finite.
    """
    parts = (_PRIOR, _QUICK, _PICKER)
    of_prior, of_quick, of_picker = (
        {
            name.removeprefix(start): value
            for name, value in arrays.items()
            if name.startswith(start)
        }
        for start in parts
    )
    of_model = {k: v for k, v in arrays.items() if not k.startswith(parts)}
    model = _filled(lambda: new_model(header, rngs=nnx.Rngs(0)), of_model, origin)
    prior = None
    if of_prior:
        prior = _filled(lambda: new_prior(header, rngs=nnx.Rngs(0)), of_prior, origin)
    quick = None
    if of_quick:
        if header.quick is None:
            raise BundleError(f"{origin} has a quick prior, but its header none")
        own = replace(header, config=replace(header.config, prior=header.quick))
        quick = _filled(lambda: new_prior(own, rngs=nnx.Rngs(0)), of_quick, origin)
    picker = None
    if of_picker:
        size = header.config.data.image_size
        picker = _filled(lambda: Picker(size, rngs=nnx.Rngs(0)), of_picker, origin)
    _check_finite(arrays, origin)
    digest = hashlib.sha256()
    for name in sorted(arrays.keys() - {_PICKER + name for name in of_picker}):
        digest.update(name.encode() + arrays[name].tobytes())
    if prior:  # the same weights draw different pictures with different steps
        sampling = header.config.prior
        # Left out at their defaults: bundles from before there were they keep their id.
        warp = f" {sampling.time_power}" if sampling.time_power != 1 else ""
        pull = f" {sampling.color_guidance}" if sampling.color_guidance else ""
        tint = " tint" if sampling.tint else ""
        drawn = "two-step imagined"
        if header.config.model.latent == "thumbnail":
            drawn += " painted eyes evened"
        way = f"{sampling.steps} {drawn} {sampling.guidance}{warp}{pull}{tint}"
        if header.quick:
            way += f" quick {header.quick.steps} {header.quick.time_power}"
        digest.update(way.encode())
    model_id = f"pokejax-{digest.hexdigest()[:12]}"
    return Bundle(header, model, prior, model_id, picker, quick)


def _check_finite(arrays: dict[str, np.ndarray], origin: str | Path) -> None:
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise BundleError(
                f"{origin}: weight {name} holds numbers that aren't finite"
                f" ({value.dtype}), so it can't draw"
            )


def _hash_of_all(header: str, arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256((header + _content_hash(arrays)).encode()).hexdigest()


def _content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays, whatever order they come in, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.data)
    return digest.hexdigest()


def weights_hash(params: nnx.State | dict[str, Any]) -> str:
    """The first 12 digits of the hash of weights, as fingerprints hold it."""
    return _content_hash(dict(named_leaves(jax.device_get(params))))[:12]


def _filled(
    make: Callable[[], Any], arrays: dict[str, np.ndarray], origin: str | Path
) -> Any:
    """The module that `make` makes, with these weights."""
    try:
        graphdef, abstract = nnx.split(nnx.eval_shape(make))
    except (ValueError, TypeError, ArithmeticError) as error:
        told = _shown(str(error))
        raise BundleError(
            f"{origin}: no model has its config's sizes: {told}"
        ) from None
    expected = {name: leaf.shape for name, leaf in named_leaves(abstract)}
    for name in sorted(expected.keys() | arrays.keys()):
        if name in arrays and arrays[name].dtype not in _DTYPES:
            raise BundleError(
                f"{origin}: weight {_shown(name)} is {arrays[name].dtype}; expected"
                f" {' or '.join(_DTYPES)}"
            )
        have = arrays[name].shape if name in arrays else None
        want = expected.get(name)
        if have != want:
            raise BundleError(
                f"{origin}: weight {_shown(name)} is {have or 'missing'};"
                f" the model of its config has {want or 'no such weight'}"
            )
    leaves = [jnp.asarray(arrays[name], jnp.float32) for name in expected]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(abstract), leaves))


def _shown(text: str) -> str:
    """Text that comes from a file, in one line of no great length."""
    return repr(text)[1:-1][:200]


def named_leaves(params: nnx.State | dict[str, Any]) -> list[tuple[str, Any]]:
    """`(dotted name, array)` of every weight, e.g. `encoder.conv1.kernel`."""
    tree = nnx.to_pure_dict(params) if isinstance(params, nnx.State) else params
    return [
        (".".join(str(getattr(key, "key", key)) for key in path), leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]
