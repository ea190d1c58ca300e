"""The compiled programs that draw a tile of pictures, and the order they run in.

Every picture takes the same path through the same programs, whether or not previews are
shown along the way; that is why its bytes are always the same.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from pokejax.attributes import UNKNOWN_ID
from pokejax.config import PriorConfig
from pokejax.images.pixels import to_float, to_uint8
from pokejax.inference.bundle import Bundle
from pokejax.inference.eyes import Eyes, draw_eyes, smooth_face
from pokejax.inference.parts import Painted, paint_parts
from pokejax.inference.surfaces import even_out
from pokejax.models.cvae import CVAE
from pokejax.models.prior import COLOR_TIME, Prior, advance, leap, times, trends
from pokejax.models.thumbnail import CHANNELS, Upsampler

# A place of a thumbnail, whose numbers lie in [-1, 1], shows what a given one's does if
# none of them differs by more than this: half of it at strength 0.5, and nothing at 1.
_SAME = 0.8


class Given(NamedTuple):
    """The pictures that a tile's rows start from.

    Attributes:
      images: RGB on white and alpha.
      stays: the pixels that aren't drawn anew.
      strength: how far from its picture each row starts, from 0 to 1; rows that start
        from nothing but noise have 1.
    """

    images: UInt8[np.ndarray, "b h w 4"]
    stays: Bool[np.ndarray, "b h w"]
    strength: Float[np.ndarray, " b"]


class Avoided(NamedTuple):
    """The negative prompts of a tile's rows.

    Attributes:
      text_emb: of each one.
      attributes: ids of what it was read as.
      given: which rows have one.
    """

    text_emb: Float[np.ndarray, "b t"]
    attributes: Int[np.ndarray, "b 12"]
    given: Bool[np.ndarray, " b"]


class Slid(NamedTuple):
    """The sliders of a tile's rows, as two conditions each.

    A picture is drawn under the near one, in which of each slid attribute and of its
    words as much is kept as the slider says, from none to all. Beyond that, guidance
    leads away from the far one: what is to be more is missing there, and what is to be
    avoided is there.

    Attributes:
      text_emb: of the near and of the far one, for both ends of each row.
      kept: how much of each attribute is in them, from 0 to 1.
      lean: how far beyond, from 0 up.
      given: which rows have a slider.
    """

    text_emb: Float[np.ndarray, "2 b 2 t"]
    kept: Float[np.ndarray, "2 b 12"]
    lean: Float[np.ndarray, " b"]
    given: Bool[np.ndarray, " b"]


class Relatives(NamedTuple):
    """The pictures of relatives that a tile's rows are drawn beside.

    Attributes:
      images: RGB on white and alpha.
      relation: what each row is to its own, in `RELATIONS`; `UNKNOWN_ID` for rows that
        have none.
    """

    images: UInt8[np.ndarray, "b h w 4"]
    relation: Int[np.ndarray, " b"]


class Drawn(NamedTuple):
    """What a tile is at some step.

    Attributes:
      images: RGB on white, with alpha as a fourth channel if the model draws one.
      sound: which pictures' pixels were all finite.
      painted: how much of each square of a thumbnail was painted over, if any was.
      eyes: which pixels are eyes, if any picture has some.
      final: whether these are the pictures, and not what they are heading for.
    """

    images: UInt8[Array, "b h w c"]
    sound: Bool[Array, " b"]
    painted: Float[Array, "b s s"] | None
    eyes: Bool[Array, "b h w"] | None
    final: bool


class _Extras(NamedTuple):
    """What a tile's latents need on their way to pictures.

    Attributes:
      drawn: which rows hold nothing of a given picture.
      painted: as in `Programs.rounds`; so are the others.
    """

    drawn: Bool[np.ndarray, " b"]
    painted: Painted | None
    eyes: Eyes | None
    given: Given | None


class Programs:
    """The programs that make a bundle's pictures, for tiles of one size."""

    def __init__(self, bundle: Bundle, *, prior: Literal["flow", "full", "normal"]):
        """Make all of them; nothing compiles before the first tile.

        Args:
          bundle: the model.
          prior: whether its learned prior is used, if it has one, and the quick one.
        """
        config = bundle.header.config
        self._thumbnails = config.model.latent == "thumbnail"
        graphdef, self._params = nnx.split(bundle.model)
        self._prior_params = self._relate = None
        self._times = times(config.prior.steps, config.prior.time_power)
        if bundle.prior and prior != "normal":
            prior_graphdef, self._prior_params = nnx.split(bundle.prior)
            self._enter, self._advance = _flow_programs(prior_graphdef, config.prior)
            self._avoid = _avoid_program(prior_graphdef)
            self._slide = _slide_program(prior_graphdef)
            self._anchor = _anchor_program(graphdef, prior_graphdef)
            if config.prior.relative_prob:
                self._relate = _relate_program(graphdef, prior_graphdef)
                self._beside = bundle.prior.positions.shape
        self._quick = None
        if bundle.quick and bundle.header.quick and prior == "flow":
            self._quick = _Quick(bundle.quick, bundle.header.quick)
        self._begin, self._decode = _model_programs(
            graphdef, config.model.latent_dim, flows=self._prior_params is not None
        )
        self._retain = _details_program(graphdef) if bundle.model.has_details else None

    @property
    def flows(self) -> bool:
        """Whether a learned prior is used."""
        return self._prior_params is not None

    def previews(self, *, plain: bool) -> int:
        """How many preview rounds come before the last one, if they are wanted.

        Args:
          plain: as in `rounds`.
        """
        if self._prior_params is None:
            return 1
        return len(self._quick.times if plain and self._quick else self._times) - 2

    def rounds(
        self,
        text_emb: Float[np.ndarray, "b 2 t"],
        attributes: Int[np.ndarray, "b 2 12"],
        seeds: UInt32[np.ndarray, "b 2"],
        knobs: Float[np.ndarray, "b 4"],
        given: Given | None = None,
        avoided: Avoided | None = None,
        slid: Slid | None = None,
        relatives: Relatives | None = None,
        painted: Painted | None = None,
        eyes: Eyes | None = None,
        *,
        plain: bool,
        previews: bool,
    ) -> Iterator[Drawn]:
        """Pictures of a tile, the final ones last.

        Args:
          text_emb: of the two ends that each row lies between.
          attributes: ids of both ends.
          seeds: of both ends.
          knobs: mix, temperature and guidance of each row, and how much of the model's
            guidance by colour alone.
          given: what rows start from, if any does; a model without a learned prior
            takes no notice of it.
          avoided: what guidance leads rows away from, if any has a negative prompt; a
            model without a learned prior takes no notice of it.
          slid: how much of some attributes, if any row has a slider; a model without a
            learned prior takes no notice of it.
          relatives: what rows are drawn beside, if any row is; for a model that learned
            relations only.
          painted: parts of rows that have colours of their own, if any has; for a model
            whose z is a thumbnail only.
          eyes: which rows have eyes, if any has; likewise.
          plain: whether no row asks for other guidance than the usual one, or is led by
            anything but prompt and attributes: then the quick prior will do, if there
            is one.
          previews: whether pictures before the final ones are wanted.
        """
        z, cond = self._begin(self._params, text_emb, attributes, seeds, knobs)
        drawn = given.strength == 1 if given else np.ones(len(z), bool)
        extras = _Extras(drawn, painted, eyes, given)
        if self._prior_params is None:
            extras = extras._replace(given=None)
            if previews:
                typical = knobs * np.array([1, 0, 1, 1], np.float32)
                z0, known = self._begin(
                    self._params, text_emb, attributes, seeds, typical
                )
                yield self._drawn(z0, known, extras, False)
            yield self._drawn(z, cond, extras, True)
            return
        if plain and self._quick:
            for latent, final in self._quick.latents(z, text_emb, attributes, knobs):
                if previews or final:
                    yield self._drawn(latent, cond, extras, final)
            return
        cond_of_flow, opened, strength, color = self._enter(
            self._prior_params, text_emb, attributes, knobs
        )
        if avoided:
            opened = self._avoid(self._prior_params, *avoided, opened)
        away = None
        if slid:
            near, far = (
                self._slide(self._prior_params, *kind, attributes, knobs)
                for kind in zip(slid.text_emb, slid.kept, strict=True)
            )
            cond_of_flow = jnp.where(slid.given[:, None], near, cond_of_flow)
            away = (far, slid.lean) if slid.lean.any() else None
        both = self._params, self._prior_params
        ends = text_emb[:, 0], attributes[:, 0]
        beside = None
        if self._relate:
            # Zeros for rows without: the steps of all rows are the same program.
            beside = jnp.zeros((len(seeds), *self._beside))
            if relatives:
                relate = functools.partial(self._relate, *both, *relatives, *ends)
                cond_of_flow, beside = relate(cond_of_flow)
                away = away and (relate(away[0])[0], away[1])
        flow = cond_of_flow, opened, strength
        noise, start = z, np.zeros(len(seeds), np.float32)
        anchor, stays = jnp.zeros_like(z), jnp.zeros(z.shape, bool)
        if given:
            start = 1 - given.strength
            anchor, stays = self._anchor(*both, given.images, given.stays, *ends)
            z = (1 - start)[:, None] * noise + start[:, None] * anchor
        velocity = jnp.zeros_like(z)
        steps = itertools.pairwise(self._times)
        for step, trend in zip(steps, trends(self._times), strict=True):
            span = [start + (1 - start) * np.float32(time) for time in step]
            # By the step's number, not the row's time: what stands beside a row must
            # not decide which program draws it.
            pull = color if color and step[0] < COLOR_TIME else None
            held = anchor, stays, noise
            before = velocity, np.float32(trend)
            z, latent, velocity = self._step(
                z, *span, flow, held, pull, beside, before, away=away
            )
            final = step[1] == 1
            if previews or final:
                yield self._drawn(latent, cond, extras, final)

    def _drawn(
        self,
        z: Array,
        cond: Array,
        extras: _Extras,
        final: bool,
    ) -> Drawn:
        """What becomes of latents, which are touched up if they are thumbnails."""
        drawn, painted, eyes, given = extras
        share = None
        side = round((z.shape[1] // CHANNELS) ** 0.5)
        if self._thumbnails:
            z = even_out(z, drawn)
        if painted:
            z, share = paint_parts(z, *painted)
        if not eyes:
            images, sound = self._decoded(z, cond, drawn, given)
            return Drawn(images, sound, share, None, final)
        # Zeros for tiles without: what stands beside a row changes no program.
        taken = jnp.zeros((len(z), side, side)) if share is None else share
        z, face = smooth_face(z, eyes.given, taken)
        images, sound = self._decoded(z, cond, drawn, given)
        images, where = draw_eyes(images, eyes, face, side=side)
        return Drawn(images, sound, share, where, final)

    def _decoded(
        self, z: Array, cond: Array, drawn: Bool[np.ndarray, " b"], given: Given | None
    ) -> tuple[UInt8[Array, "b h w c"], Bool[Array, " b"]]:
        """Pictures, and which are sound; with a given one's details where it is kept.

        Rows without a given picture keep the exact bits of the usual program.
        """
        usual = self._params, z, cond, drawn
        if given is None or self._retain is None:
            return self._decode(*usual)
        own, fine = self._retain(*usual, *given)
        keeps = (given.strength < 1) | given.stays.any(axis=(1, 2))
        if keeps.all():
            return own, fine
        images, sound = self._decode(*usual)
        images = jnp.where(keeps[:, None, None, None], own, images)
        return images, jnp.where(keeps, fine, sound)

    def _step(self, *inputs, away: tuple[Array, np.ndarray] | None):
        """Where the flow is next, the latent that it is heading for, its velocity.

        Rows that lean away from something take a program that evaluates a third
        condition; the others keep the exact bits of the usual one.
        """
        if away is None:
            return self._advance(self._prior_params, *inputs)
        leaning = self._advance(self._prior_params, *inputs, away)
        leans = away[1] > 0
        if leans.all():
            return leaning
        usual = self._advance(self._prior_params, *inputs)
        pairs = zip(leaning, usual, strict=True)
        return tuple(jnp.where(leans[:, None], own, other) for own, other in pairs)


class _Quick:
    """The programs of a quick prior, which follows its flow in few steps."""

    def __init__(self, prior: Prior, config: PriorConfig):
        graphdef, self._params = nnx.split(prior)
        self.times = times(config.steps, config.time_power)
        self._enter, self._step = _quick_programs(graphdef)

    def latents(
        self, x: Array, text_emb: np.ndarray, attributes: np.ndarray, knobs: np.ndarray
    ) -> Iterator[tuple[Float[Array, "b z"], bool]]:
        """The latent that noise is heading for at each step, and if it's the last."""
        cond = self._enter(self._params, text_emb, attributes, knobs)
        for span in itertools.pairwise(self.times):
            moments = (np.full(len(knobs), moment, np.float32) for moment in span)
            x, latent = self._step(self._params, x, *moments, cond)
            yield latent, span[1] == 1


# Models of the same sizes share what is compiled: weights are arguments.
_once = functools.lru_cache(maxsize=8)


@_once
def _model_programs(
    graphdef: nnx.GraphDef, latent_dim: int, *, flows: bool
) -> tuple[Callable[..., tuple[Array, Array]], Callable[..., tuple[Array, Array]]]:
    """Noise and condition of a tile; and what latents are as pictures."""

    @jax.jit
    def begin(params, text_emb, attributes, seeds, knobs):
        mix, temperature, guidance, _ = jnp.split(knobs, 4, axis=1)
        z = temperature * _blend_noise(seeds, mix, latent_dim)
        model: CVAE = nnx.merge(graphdef, params)
        known = _blend(model.condition, text_emb, attributes, mix)
        if flows:  # then it is the flow that is guided
            return z, known
        # The open condition: the same text with no attribute known, which training
        # shows the model now and then.
        unknown = jnp.full_like(attributes, UNKNOWN_ID)
        opened = _blend(model.condition, text_emb, unknown, mix)
        return z, known + (guidance - 1) * (known - opened)

    @jax.jit
    def decode(params, z, cond, drawn):
        decoder = nnx.merge(graphdef, params).decoder
        more = {"drawn": drawn} if isinstance(decoder, Upsampler) else {}
        image = decoder(z, cond, dropout_key=None, **more)
        return to_uint8(image), jnp.isfinite(image).all(axis=(1, 2, 3))

    return begin, decode


@_once
def _quick_programs(
    graphdef: nnx.GraphDef,
) -> tuple[Callable[..., Array], Callable[..., tuple[Array, Array]]]:
    """A quick prior's condition, and one step along its flow."""

    @jax.jit
    def enter(params, text_emb, attributes, knobs):
        embed = nnx.merge(graphdef, params).embed
        return _blend(embed, text_emb, attributes, knobs[:, :1])

    @jax.jit
    def step(params, x, time, until, cond):
        prior: Prior = nnx.merge(graphdef, params)
        x, end = leap(prior, x, time, until, cond)
        return x, prior.denormalise(end)

    return enter, step


@_once
def picker_program(graphdef: nnx.GraphDef) -> Callable[..., Float[Array, " b"]]:
    """How much a picker likes a tile of pictures, given the ids asked for."""

    @jax.jit
    def like(params, images, asked):
        return nnx.merge(graphdef, params).liking(to_float(images), asked)

    return like


@_once
def _slide_program(prior_graphdef: nnx.GraphDef) -> Callable[..., Array]:
    """A condition in which only so much of each attribute is kept."""

    @jax.jit
    def slide(prior_params, text_emb, kept, attributes, knobs):
        prior: Prior = nnx.merge(prior_graphdef, prior_params)
        of_both = jnp.repeat(kept, 2, axis=0)

        def embed(text_emb: Array, attributes: Array) -> Array:
            return prior.embed(text_emb, attributes, of_both)

        return _blend(embed, text_emb, attributes, knobs[:, :1])

    return slide


@_once
def _avoid_program(prior_graphdef: nnx.GraphDef) -> Callable[..., Array]:
    """Negative prompts as the condition that guidance leads away from."""

    @jax.jit
    def avoid(prior_params, text_emb, attributes, given, opened):
        # A program of its own, so that rows without one keep their exact bits.
        away = nnx.merge(prior_graphdef, prior_params).embed(text_emb, attributes)
        return jnp.where(given[:, None], away, opened)

    return avoid


@_once
def _relate_program(
    graphdef: nnx.GraphDef, prior_graphdef: nnx.GraphDef
) -> Callable[..., tuple[Array, Array]]:
    """The condition beside relatives, and what these add to the tokens."""

    @jax.jit
    def relate(params, prior_params, images, relation, text_emb, attributes, cond):
        prior: Prior = nnx.merge(prior_graphdef, prior_params)
        model = nnx.merge(graphdef, params)
        mean, _ = model.encode(to_float(images), text_emb, attributes)
        beside, change = prior.relate(prior.normalise(mean), relation)
        known = (relation != UNKNOWN_ID)[:, None]
        return jnp.where(known, cond + change, cond), beside

    return relate


@_once
def _anchor_program(
    graphdef: nnx.GraphDef, prior_graphdef: nnx.GraphDef
) -> Callable[..., tuple[Array, Array]]:
    """Given pictures as the flow's ends, and which numbers of these stay."""

    @jax.jit
    def anchor(params, prior_params, images, stays, text_emb, attributes):
        model = nnx.merge(graphdef, params)
        prior: Prior = nnx.merge(prior_graphdef, prior_params)
        mean, _ = model.encode(to_float(images), text_emb, attributes)
        b, side = len(images), prior.side
        whole = _whole(stays, side).reshape(b, -1, 1)
        each = mean.shape[1] // side**2
        return prior.normalise(mean), jnp.repeat(whole, each, axis=2).reshape(b, -1)

    return anchor


@_once
def _details_program(
    graphdef: nnx.GraphDef,
) -> Callable[..., tuple[UInt8[Array, "b h w 4"], Bool[Array, " b"]]]:
    """Thumbnails as pictures that keep a given one's details where they agree with it.

    The less of it is to be kept, the closer they have to: of a doodle in flat colours
    the details are that it is flat. Where nothing is, agreeing is chance.
    """

    @jax.jit
    def retain(params, z, cond, drawn, given, stays, strength):
        model: CVAE = nnx.merge(graphdef, params)
        pixels = to_float(given)
        mean, _ = model.encoder(pixels, cond, dropout_key=None)
        details = model.encoder.details(pixels)
        b, side = details.shape[:2]
        apart = jnp.abs(z - mean).reshape(b, side, side, -1).max(axis=-1)
        kept = apart < _SAME * (1 - strength)[:, None, None]
        kept |= _whole(stays, side)
        image = model.decoder(
            z,
            cond,
            dropout_key=None,
            drawn=drawn,
            details=jnp.where(kept[..., None], details, 0),
        )
        return to_uint8(image), jnp.isfinite(image).all(axis=(1, 2, 3))

    return retain


def _whole(stays: Bool[Array, "b h w"], side: int) -> Bool[Array, "b s s"]:
    """The places of a map of which no pixel is drawn anew."""
    b, h, w = stays.shape
    return stays.reshape(b, side, h // side, side, w // side).all(axis=(2, 4))


@_once
def _flow_programs(
    graphdef: nnx.GraphDef, config: PriorConfig
) -> tuple[Callable[..., tuple], Callable[..., tuple]]:
    """A learned prior's conditions, and one step along its flow."""

    @jax.jit
    def enter(params, text_emb, attributes, knobs):
        prior: Prior = nnx.merge(graphdef, params)
        embed = prior.embed
        nothing = jnp.zeros_like(text_emb), jnp.full_like(attributes, UNKNOWN_ID)
        mix, _, guidance, of_color = jnp.split(knobs, 4, axis=1)
        cond = _blend(embed, text_emb, attributes, mix)
        opened = _blend(embed, *nothing, mix)
        color = None
        if config.color_guidance:
            alone = _blend(prior.embed_color, text_emb, attributes, mix)
            pull = config.color_guidance * guidance * of_color
            color = alone, pull[:, 0]
        return cond, opened, config.guidance * guidance[:, 0], color

    @jax.jit
    def step(params, x, time, until, flow, held, pull, beside, before, away=None):
        prior: Prior = nnx.merge(graphdef, params)
        more = {"away": away, "pull": pull, "beside": beside, "before": before}
        x, end, velocity = advance(prior, x, time, until, *flow, **more)
        anchor, stays, noise = held
        kept = (1 - until)[:, None] * noise + until[:, None] * anchor
        x, end = jnp.where(stays, kept, x), jnp.where(stays, anchor, end)
        return x, prior.denormalise(end), velocity

    return enter, step


def _blend(
    embed: Callable[[Array, Array], Array],
    text_emb: Float[Array, "b 2 t"],
    attributes: Int[Array, "b 2 12"],
    mix: Float[Array, "b 1"],
) -> Float[Array, "b c"]:
    """The condition between two ends."""
    b = len(text_emb)
    ends = embed(text_emb.reshape(2 * b, -1), attributes.reshape(2 * b, -1))
    ends = ends.reshape(b, 2, -1)
    return ends[:, 0] + mix * (ends[:, 1] - ends[:, 0])


def _blend_noise(
    seeds: UInt32[Array, "b 2"], mix: Float[Array, "b 1"], latent_dim: int
) -> Float[Array, "b z"]:
    """Standard normal z of two seeds each, blended along the arc between the two.

    The straight line between two draws passes through latents far shorter than either;
    the arc keeps their length.
    """
    keys = jax.vmap(jax.vmap(jax.random.key))(seeds)
    ends = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (latent_dim,))))(keys)
    start, end = ends[:, 0], ends[:, 1]
    lengths = jnp.linalg.norm(start, axis=-1) * jnp.linalg.norm(end, axis=-1)
    cosine = jnp.sum(start * end, axis=-1) / lengths
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))[:, None]
    blended = (
        jnp.sin((1 - mix) * angle) * start + jnp.sin(mix * angle) * end
    ) / jnp.sin(angle)
    # The same seed twice has no arc, and an unblended row must keep its exact bits.
    alone = (seeds[:, :1] == seeds[:, 1:]) | (mix == 0)
    return jnp.where(alone, start, blended)
