"""Requests and answers as msgspec structs, which also document the API."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from pokejax.attributes import CONDITIONS, RELATIONS, VOCABULARIES
from pokejax.creatures.creature import MOST_COLORS as MOST_COLORS_OF_CREATURE
from pokejax.creatures.evolution import MAX_STAGES
from pokejax.images.finish import FEWEST_COLORS, MOST_COLORS, USUAL_COLORS
from pokejax.images.upscale import MAX_SCALE, Upscale
from pokejax.inference.recipe import (
    MAX_GUIDANCE,
    MAX_PROMPT_CHARS,
    MAX_SLIDE,
    MAX_TEMPERATURE,
    MIN_SLIDE,
    SEED_LIMIT,
)
from pokejax.prompts.parsed import ParsedPrompt, Source

MAX_SAMPLES = 16
MAX_BEST_OF = 8
MAX_FRAMES = 60
MAX_BATCH = 1024
# Anything but control characters (tab and line ends are spaces), and not only spaces.
# Linear in the length: the first part takes spaces only.
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"
_PROMPT_PATTERN = rf"^[^\S{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"

Prompt = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_PROMPT_CHARS,
        pattern=_PROMPT_PATTERN,
        description="What to draw, without control characters.",
        examples=["a small blue water turtle with a red shell"],
    ),
]
# What OpenAI takes; only the first MAX_PROMPT_CHARS are drawn from.
MAX_LONG_PROMPT_CHARS = 32_000
LongPrompt = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_LONG_PROMPT_CHARS,
        pattern=_PROMPT_PATTERN,
        description="What to draw, without control characters; what is too long for"
        " the text encoder is left out, as the answer then says.",
    ),
]
_MAYBE_EMPTY = rf"^[^{_CONTROL}]*$"
NegativePrompt = Annotated[
    str,
    Meta(
        max_length=MAX_PROMPT_CHARS,
        pattern=_MAYBE_EMPTY,
        description="What to keep away from, the more the higher `guidance`; a model"
        " without a learned prior takes no notice of it.",
    ),
]
Picture = Annotated[
    str,
    Meta(
        min_length=1,
        description="a PNG, GIF, JPEG, WebP or BMP in base64, or as a data URL",
    ),
]
PictureFile = Annotated[
    bytes,
    Meta(
        description="The file of a PNG, GIF, JPEG, WebP or BMP.",
        extra_json_schema={"contentEncoding": "binary"},
    ),
]
Seed = Annotated[
    int,
    Meta(
        ge=0,
        le=SEED_LIMIT - 1,
        description="Of the first picture; the others count up. None: random.",
        examples=[42],
    ),
]
NumSamples = Annotated[
    int, Meta(ge=1, le=MAX_SAMPLES, description="How many pictures.")
]
Guidance = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_GUIDANCE,
        description="How strongly the prompt steers, times the model's default.",
    ),
]
Temperature = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_TEMPERATURE,
        description="How far pictures stray from the typical one; 0 is that one.",
    ),
]
Scale = Annotated[
    int,
    Meta(ge=1, le=MAX_SCALE, description="Side of the square that each pixel becomes."),
]
HowToEnlarge = Annotated[
    Upscale,
    Meta(
        description="nearest makes each pixel a square; scale2x rounds off staircases"
        " with the same colours, by the factors 2 and 3 of scale."
    ),
]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Strength = Annotated[
    float,
    Meta(
        ge=0,
        le=1,
        description="How far away from the picture: 0 is as the model sees it, 1 not"
        " bound to it. null: 0.6, or 1 with a mask.",
    ),
]
Format = Literal["png", "webp"]
Finish = Annotated[
    Literal["raw", "pixel"],
    Meta(
        description="pixel: cut out, in a small palette; raw: as drawn; null: pixel"
        " for models that draw pixel art."
    ),
]
Colors = Annotated[
    int,
    Meta(
        ge=FEWEST_COLORS,
        le=MOST_COLORS,
        description="Of the palette at most, transparency not counted.",
    ),
]
Shiny = Annotated[
    bool,
    Meta(description="In the palette of a shiny; the finish is pixel then."),
]
Background = Annotated[
    Literal["white", "transparent"], Meta(description="Around the creature.")
]
A1111Seed = Annotated[
    int, Meta(ge=-1, le=2**32 - 1, description="-1 draws one; taken modulo 2^31.")
]
A1111Side = Annotated[int, Meta(ge=64, le=1792)]

# Set by name, e.g. {"size": "Tiny"}; what isn't set is read from the prompt.
AttributeOverrides: Any = msgspec.defstruct(
    "AttributeOverrides",
    [
        (name, Literal[vocabulary] | None, None)  # type: ignore[valid-type]
        for name, vocabulary in CONDITIONS.items()
    ],
    forbid_unknown_fields=True,
    namespace={"__doc__": "Attributes that override what the prompt says."},
)

Slide = Annotated[float, Meta(ge=MIN_SLIDE, le=MAX_SLIDE)]
# Set by name, e.g. {"size": 2}.
AttributeSlides: Any = msgspec.defstruct(
    "AttributeSlides",
    [(name, Slide | None, None) for name in VOCABULARIES],
    forbid_unknown_fields=True,
    namespace={
        "__doc__": "How much of an attribute: 1 as it is, 0 as if it weren't said, 2"
        " twice as much, -1 away from it."
    },
)

# A type made at run time is no type to a type checker.
if TYPE_CHECKING:
    Overrides = Struct | None
    Slides = Struct | None
    Relation = str
else:
    Overrides = AttributeOverrides | None
    Slides = AttributeSlides | None
    Relation = Literal[RELATIONS]


class PictureFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """Fields that every request for pictures may have."""

    prompt: Prompt
    seed: Seed | None = None
    negative_prompt: NegativePrompt = ""
    use_llm_parsing: Annotated[
        bool,
        Meta(description="Let a language model read the prompt; rules if it fails."),
    ] = False
    attributes: Overrides = None
    slides: Slides = None
    guidance: Guidance = 1.0
    temperature: Temperature = 1.0
    format: Format = "png"
    scale: Scale = 1
    upscale: HowToEnlarge = "nearest"
    finish: Finish | None = None
    colors: Colors = USUAL_COLORS
    shiny: Shiny = False
    background: Background = "white"


class GenerateBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for pictures of a prompt."""

    num_samples: NumSamples = 1


class BestOfBody(GenerateBody, kw_only=True, forbid_unknown_fields=True):
    """A request for pictures of a prompt, or the best of several."""

    best_of: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_BEST_OF,
            description="Draws so many for each picture, seeds counting on, and keeps"
            " the one that the model's picker likes best; `seeds` has the ones kept.",
        ),
    ] = 1


class EditBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for pictures that start from one, or for parts of it redrawn."""

    image: Picture
    mask: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="a picture as `image` is; only its light parts are redrawn"
                " or, if parts of it are transparent, those",
            ),
        ]
        | None
    ) = None
    strength: Strength | None = None
    num_samples: NumSamples = 1


class RelativeBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for pictures of a creature beside one of it, or of its next stage."""

    image: Picture
    relation: Annotated[
        Relation,
        Meta(
            description="What is drawn of the creature in `image`: it from the front,"
            " from behind, as it evolves, or the other frame of its animation."
        ),
    ]
    animation: (
        Annotated[
            Literal["gif", "apng"],
            Meta(
                description="Adds `image` and each picture in turn as an animation;"
                " only of a `frame`, and as pixel art."
            ),
        ]
        | None
    ) = None
    num_samples: NumSamples = 1


class DownloadQuery(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for one picture as a file."""


class CreatureBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A request for all files of one creature."""

    prompt: Prompt
    seed: Seed | None = None
    negative_prompt: NegativePrompt = ""
    use_llm_parsing: Annotated[
        bool,
        Meta(description="Let a language model read the prompt; rules if it fails."),
    ] = False
    attributes: Overrides = None
    guidance: Guidance = 1.0
    temperature: Temperature = 1.0
    colors: Annotated[
        int,
        Meta(
            ge=FEWEST_COLORS,
            le=MOST_COLORS_OF_CREATURE,
            description="Of a view at most, transparency not counted; all views share"
            " a palette.",
        ),
    ] = USUAL_COLORS


class EvolutionBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for a creature and its next stages."""

    stages: Annotated[
        int, Meta(ge=2, le=MAX_STAGES, description="How many, the first included.")
    ] = MAX_STAGES


class InterpolateBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for the frames between one picture and another.

    Noise is blended along the arc between two seeds, conditions along the line between
    two prompts. If neither another prompt nor other attributes are given, a missing
    `to_seed` is drawn.
    """

    to_prompt: Prompt | None = None
    to_seed: Seed | None = None
    to_attributes: Overrides = None
    frames: Annotated[
        int, Meta(ge=2, le=MAX_FRAMES, description="How many, both ends included.")
    ] = 8
    mix: (
        Annotated[
            Fraction,
            Meta(description="One frame alone, this far along; `frames` is ignored."),
        ]
        | None
    ) = None
    gif: Annotated[bool, Meta(description="Add them as one animation.")] = False


class VariationsBody(PictureFields, kw_only=True, forbid_unknown_fields=True):
    """A request for pictures close to one that is known by its seed."""

    seed: Seed  # type: ignore[assignment]
    num_samples: NumSamples = 4
    strength: Annotated[
        Fraction, Meta(description="How far away: 0 is the same, 1 another picture.")
    ] = 0.3
    variation_seed: Seed | None = None


class BatchPicture(Struct, kw_only=True, forbid_unknown_fields=True):
    """One picture of a batch's list."""

    prompt: Prompt
    seed: Seed | None = None
    attributes: Overrides = None
    slides: Slides = None
    negative_prompt: NegativePrompt | None = None


class BatchBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A request for many pictures: `pictures`, or a matrix that begins with `prompts`.

    A picture without a seed gets one that is the same for all of these, and one
    without a `negative_prompt` of its own gets that of the batch.
    """

    pictures: (
        Annotated[list[BatchPicture], Meta(min_length=1, max_length=MAX_BATCH)] | None
    ) = None
    prompts: (
        Annotated[list[Prompt], Meta(min_length=1, max_length=MAX_BATCH)] | None
    ) = None
    seeds: Annotated[list[Seed], Meta(min_length=1, max_length=MAX_BATCH)] | None = None
    attributes: (
        Annotated[
            list[Overrides],
            Meta(
                min_length=1,
                max_length=MAX_BATCH,
                description="Each prompt is drawn with each of these.",
            ),
        ]
        | None
    ) = None
    slides: (
        Annotated[
            list[Slides],
            Meta(
                min_length=1,
                max_length=MAX_BATCH,
                description="And with each of these.",
            ),
        ]
        | None
    ) = None
    negative_prompt: NegativePrompt = ""
    guidance: Guidance = 1.0
    temperature: Temperature = 1.0
    format: Format = "png"
    scale: Scale = 1
    upscale: HowToEnlarge = "nearest"
    finish: Finish | None = None
    colors: Colors = USUAL_COLORS
    shiny: Shiny = False
    background: Background = "white"
    answer: Literal["zip", "sheet"] = "zip"


class BatchQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """From where on a batch is wanted."""

    offset: Annotated[
        int, Meta(ge=0, le=2**40, description="Bytes already received.")
    ] = 0


_SIDE = "(6[4-9]|[7-9][0-9]|[1-9][0-9]{2}|1[0-6][0-9]{2}|17[0-8][0-9]|179[0-2])"


class ImagesFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """Fields that every request in OpenAI's shape may have.

    `quality`, `user` and the like are accepted and ignored.
    """

    n: Annotated[int, Meta(ge=1, le=10)] | None = 1
    size: (
        Annotated[
            str,
            Meta(
                pattern=rf"^(auto|{_SIDE}x{_SIDE})$",
                description="auto, or WIDTHxHEIGHT, each from 64 to 1792 pixels; the"
                " picture is as large as whole pixels allow, on white",
                examples=["256x256"],
            ),
        ]
        | None
    ) = "auto"
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    output_format: Literal["png", "webp", "jpeg"] | None = "png"
    stream: bool | None = False
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = 0
    seed: Seed | None = None
    guidance: Guidance = 1.0
    temperature: Temperature = 1.0
    finish: Finish | None = None
    colors: Colors = USUAL_COLORS
    background: Literal["auto", "opaque", "transparent"] | None = "auto"
    model: Annotated[str, Meta(description="As /v1/models lists it.")] | None = None
    quality: str | None = None
    user: str | None = None
    output_compression: (
        Annotated[int, Meta(ge=0, le=100, description="Quality of JPEG.")] | None
    ) = None


class ImagesBody(ImagesFields, kw_only=True, forbid_unknown_fields=True):
    """A request in the shape of OpenAI's image generation."""

    prompt: LongPrompt
    attributes: Overrides = None
    style: str | None = None
    moderation: str | None = None
    safety_identifier: str | None = None


class ImagesVariationForm(ImagesFields, kw_only=True, forbid_unknown_fields=True):
    """A form in the shape of OpenAI's image variations, which have no prompt."""

    image: PictureFile
    strength: Strength | None = None

    @property
    def prompt(self) -> str:
        """Of nothing but what the picture shows."""
        return "a creature"


class ImagesEditForm(ImagesFields, kw_only=True, forbid_unknown_fields=True):
    """A form in the shape of OpenAI's image edits."""

    image: PictureFile
    prompt: LongPrompt
    mask: (
        Annotated[
            PictureFile,
            Meta(description="Its transparent parts are redrawn."),
        ]
        | None
    ) = None
    strength: Strength | None = None
    input_fidelity: str | None = None
    moderation: str | None = None
    safety_identifier: str | None = None


class A1111Txt2ImgBody(Struct, kw_only=True):
    """A request in the shape of AUTOMATIC1111's `txt2img`.

    Its many other fields are accepted and ignored, and so is `steps`.
    """

    prompt: LongPrompt
    negative_prompt: Annotated[
        str,
        Meta(
            max_length=MAX_LONG_PROMPT_CHARS,
            pattern=_MAYBE_EMPTY,
            description="What to keep away from, by guidance.",
        ),
    ] = ""
    seed: A1111Seed = -1
    subseed: A1111Seed = -1
    subseed_strength: Annotated[
        Fraction, Meta(description="How far each picture lies towards another seed's.")
    ] = 0.0
    cfg_scale: Annotated[
        float,
        Meta(
            ge=0,
            le=7 * MAX_GUIDANCE,
            description="7 is the model's own guidance.",
        ),
    ] = 7.0
    steps: Annotated[int, Meta(ge=1, le=1000)] = 20
    width: A1111Side = 512
    height: A1111Side = 512
    batch_size: Annotated[int, Meta(ge=1, le=MAX_FRAMES)] = 1
    n_iter: Annotated[int, Meta(ge=1, le=MAX_FRAMES)] = 1
    attributes: Overrides = None
    temperature: Temperature = 1.0
    finish: Finish | None = None
    colors: Colors = USUAL_COLORS

    @property
    def guidance(self) -> float:
        """As the model takes it."""
        return self.cfg_scale / 7


class A1111Img2ImgBody(A1111Txt2ImgBody, kw_only=True):
    """A request in the shape of AUTOMATIC1111's `img2img`."""

    init_images: Annotated[
        list[Picture], Meta(min_length=1, max_length=1, description="One picture.")
    ]
    mask: (
        Annotated[
            str,
            Meta(
                description="Its light parts are redrawn or, if parts of it are"
                " transparent, all others.",
            ),
        ]
        | None
    ) = None
    inpainting_mask_invert: Annotated[int, Meta(ge=0, le=1)] = 0
    denoising_strength: Fraction = 0.75


class A1111Txt2Img(Struct, kw_only=True):
    """Pictures in AUTOMATIC1111's shape; `info` is JSON in a string."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class A1111State(Struct, kw_only=True):
    """What a client's run is at."""

    job: str = ""
    job_count: int = 0
    job_no: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    skipped: bool = False
    interrupted: bool = False


class A1111Progress(Struct, kw_only=True):
    """How far a client's run is, from 0 to 1."""

    progress: float
    eta_relative: float = 0.0
    state: A1111State
    current_image: str | None = None
    textinfo: str | None = None


class A1111Options(Struct, kw_only=True):
    """The settings that clients look for."""

    sd_model_checkpoint: str = ""
    samples_format: str = "png"


class A1111Model(Struct, kw_only=True):
    """A model in AUTOMATIC1111's shape."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class A1111Sampler(Struct, kw_only=True):
    """A sampler in AUTOMATIC1111's shape."""

    name: str
    aliases: list[str] = []
    options: dict[str, str] = {}


class A1111PngInfoBody(Struct, kw_only=True):
    """A picture to be read."""

    image: Annotated[str, Meta(description="A PNG in base64, or as a data URL.")]


class A1111PngInfo(Struct, kw_only=True):
    """A picture's text chunks; `info` is the one in AUTOMATIC1111's form."""

    info: str
    items: dict[str, str]
    parameters: dict[str, str]


class ParsedAnswer(Struct, kw_only=True):
    """What was read in a prompt."""

    attributes: dict[str, str]
    sources: Annotated[
        dict[str, Source],
        Meta(description="Where each attribute came from."),
    ]
    words: Annotated[
        dict[str, str],
        Meta(description="The words of the prompt that decided an attribute."),
    ]
    unrecognised: Annotated[
        list[str], Meta(description="Words of the prompt that no rule knows.")
    ]
    parts: Annotated[
        dict[str, str],
        Meta(
            description="Colors of parts that have a place: back, belly, head, feet,"
            " eyes; eyes may be None."
        ),
    ]
    warning: str | None = None


def parsed_answer(parsed: ParsedPrompt) -> ParsedAnswer:
    """The part of an answer that says how its prompt was read."""
    known = parsed.attributes.known()
    return ParsedAnswer(
        attributes=known,
        sources={name: parsed.sources[name] for name in known},
        words={name: match.text for name, match in parsed.matches.items()},
        unrecognised=list(parsed.unrecognised),
        parts=dict(parsed.parts),
        warning=parsed.warning or None,
    )


class GenerateAnswer(ParsedAnswer, kw_only=True):
    """Pictures, and all that is needed to draw them again."""

    image: Annotated[str, Meta(description="The first picture as a data URL.")]
    images: list[str]
    seeds: list[int]
    generation_time_ms: float
    model_version: str


class RelativeAnswer(GenerateAnswer, kw_only=True):
    """Pictures beside another, and the animations that were asked for."""

    animations: Annotated[
        list[str], Meta(description="Of each picture, as data URLs, or none.")
    ]


class EvolutionAnswer(GenerateAnswer, kw_only=True):
    """A creature's stages, youngest first."""

    stages: Annotated[list[dict[str, str]], Meta(description="The attributes of each.")]
    sheet: Annotated[
        str,
        Meta(
            description="All side by side, a transparent PNG as a data URL; its text"
            " `stages` holds their recipes."
        ),
    ]


class VariationsAnswer(GenerateAnswer, kw_only=True):
    """Variations; each lies `strength` of the way towards its `towards_seeds`."""

    towards_seeds: list[int]
    strength: float


class InterpolateAnswer(Struct, kw_only=True):
    """Frames from one picture to another."""

    images: list[str]
    gif: str | None
    start: ParsedAnswer
    end: ParsedAnswer
    seeds: Annotated[list[int], Meta(description="Of both ends.")]
    generation_time_ms: float
    model_version: str


class OpenAIImage(Struct, kw_only=True, omit_defaults=True):
    """One picture in OpenAI's shape, with its seed."""

    b64_json: str | None = None
    url: str | None = None
    seed: int | None = None
    revised_prompt: str | None = None


class ImagesAnswer(Struct, kw_only=True, omit_defaults=True):
    """Pictures in OpenAI's shape."""

    created: int
    data: list[OpenAIImage]
    background: str
    output_format: str
    size: str
    quality: str
    warning: str | None = None


class Model(Struct, kw_only=True):
    """A model in OpenAI's shape."""

    id: str
    object: Literal["model"] = "model"
    created: Annotated[int, Meta(description="When it was loaded.")]
    owned_by: str = "pokejax"


class ModelsAnswer(Struct, kw_only=True):
    """The names of the model that draws, in OpenAI's shape."""

    object: Literal["list"] = "list"
    data: list[Model]


class Health(Struct, kw_only=True):
    """Whether the process is alive, and what it is doing."""

    status: Literal["starting", "ready", "broken", "draining"]
    model_version: str | None
    relations: Annotated[
        list[str],
        Meta(description="What the model can draw of a creature in a picture."),
    ]
    queued: Annotated[int, Meta(description="How many pictures are waiting.")]
    uptime_s: float


class JobStatus(Struct, kw_only=True):
    """How far a stream's job is."""

    job: str
    status: Literal["unfinished", "finished"]
    events: int


class AttributesAnswer(Struct, kw_only=True):
    """The closed vocabularies, in the order of their ids."""

    attributes: dict[str, list[str]]
