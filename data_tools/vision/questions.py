"""What a vision model is asked about a picture, and what its answer says.

Owns the picture as it's sent, the rendering of requests and the parsing of answers,
both BAML's, and the bounds of what a question costs.
"""

import base64
import contextlib
import functools
import hashlib
import io
import json
import random
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import baml_py
from baml_py.errors import BamlError
from PIL import Image

from pokejax.attributes import NONE, Attributes
from pokejax.prompts.llm import LlmEndpoint, check_answer
from pokejax.prompts.parse import attributes_of

from ..captions import from_behind
from ..metadata import add_by_hand, blank_metadata, own_captions, read_picture
from ..pictures import base_view
from .ledger import Entries, Key
from .spending import Prices

MOST_OUTPUT_TOKENS = 2000  # max_completion_tokens in baml_src/clients.baml
_USUAL_OUTPUT_TOKENS = 350
_SIDE = 256  # pixels; any model sees a sprite at that size, and bills it as one tile
_LARGEST_FILE = 64 << 20  # bytes
_LONGEST_PROMPT = 400  # characters
_SAYS_BACK = re.compile(r"\b(behind|rear|back view|back turned|from the back)\b", re.I)


def encode_picture(path: Path) -> str:
    """The picture as it's sent: base64 PNG on white, 128 to 256 pixels a side.

    Raises:
      ValueError: it can't be read.
    """
    image = read_picture(path).convert("RGBA")
    if image.width * image.height == 0:
        raise ValueError("an empty picture")
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    else:
        # Whole factors keep pixel art sharp.
        factor = _SIDE // max(image.size)
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    data = io.BytesIO()
    ground.convert("RGB").save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def hash_file(path: Path) -> str:
    """SHA-256 of a picture file, hex.

    Raises:
      ValueError: it can't be read or is too big.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("larger than 64 MiB")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"not readable: {error.strerror}") from error


class Questions:
    """What is asked: requests as BAML renders them, and the parsing of answers."""

    def __init__(self, client: ModuleType, endpoint: LlmEndpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._prompt = functools.cache(self._render_prompt)

    def key(self, path: Path, digest: str, model: str) -> Key:
        """Of the question about the picture at `path`, its file hashed to `digest`."""
        prompt = self._prompt(path.parent.name).encode()
        return Key(digest, hashlib.sha256(prompt).hexdigest(), model)

    def stored(
        self, entries: Entries, path: Path, digest: str
    ) -> dict[str, Any] | None:
        """The metadata of a picture that the ledger has an answer for, else None.

        Raises:
          ValueError: the picture's name isn't text.
        """
        for model in self._endpoint.models:
            if answer := entries.answers.get(self.key(path, digest, model)):
                # Stored answers may not pass a parser that has become stricter.
                with contextlib.suppress(ValueError):
                    return self.metadata(path, answer)
        return None

    def refused(self, entries: Entries, path: Path, digest: str) -> str:
        """Why no model's answer about a picture was usable; empty if one may yet be.

        Raises:
          ValueError: the picture's name isn't text.
        """
        keys = [self.key(path, digest, model) for model in self._endpoint.models]
        if not all(map(entries.is_given_up, keys)):
            return ""
        return f"{keys[-1].model}: {entries.refused[keys[-1]][-1]}"

    def body(self, path: Path, model: str) -> dict[str, Any]:
        """The request's JSON.

        Raises:
          ValueError: the picture can't be read, or its name isn't text.
        """
        return self._render(path.parent.name, encode_picture(path), model)

    def input_tokens(self, path: Path, prices: Prices) -> tuple[int, int]:
        """The usual number of tokens of a question about `path`, and the most."""
        length = len(self._prompt(path.parent.name).encode())
        # English has some four bytes to a token, and no token is shorter than one.
        return length // 4 + prices.image_tokens, length + prices.image_tokens

    def usual_usd(self, path: Path, prices: Prices) -> float:
        """A guess at the cost of a question about `path`."""
        usual, _ = self.input_tokens(path, prices)
        return prices.usd(usual, _USUAL_OUTPUT_TOKENS)

    def most_usd(self, path: Path, prices: Prices) -> float:
        """An upper bound of the cost of a question about `path`."""
        _, most = self.input_tokens(path, prices)
        return prices.usd(most, MOST_OUTPUT_TOKENS)

    def _render(self, species: str, picture: str, model: str) -> dict[str, Any]:
        try:
            species.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the name {species!r} isn't Unicode text") from error
        env = self._endpoint.for_model(model).environment()
        request = self._client.b.with_options(
            client="Primary", env=env
        ).request.ExtractPokemonMetadata(
            img=baml_py.Image.from_base64("image/png", picture), pokemon_name=species
        )
        return request.body.json()

    def _render_prompt(self, species: str) -> str:
        body = self._render(species, "", "")
        return json.dumps([body, _SIDE], sort_keys=True)

    def metadata(self, path: Path, answer: str) -> dict[str, Any]:
        """The metadata in a model's answer about the picture at `path`.

        Raises:
          ValueError: the answer isn't as asked for; says how.
        """
        check_answer(answer)
        try:
            read = self._client.b.parse.ExtractPokemonMetadata(answer)
        except BamlError as error:
            raise ValueError(_gist(answer, str(error))) from error
        prompts = [" ".join(prompt.split()) for prompt in read.prompts]
        if not all(0 < len(prompt) <= _LONGEST_PROMPT for prompt in prompts):
            raise ValueError("a prompt is empty or too long")
        return _metadata_of(path, attributes_of(read), prompts, read.generation)


def _gist(answer: str, message: str) -> str:
    """What is wrong with an answer; BAML's own message is pages long."""
    if "{" not in answer:
        return f"no JSON but {' '.join(answer.split())[:80]!r}"
    lacking = re.findall(r"Missing required field: (\w+)", message)
    wrong = re.findall(r"Failed to parse field (\w+)", message)
    return "; ".join(
        f"{what} {', '.join(dict.fromkeys(names))}"
        for what, names in (("lacks", lacking), ("unusable", wrong))
        if names
    )


def _metadata_of(
    path: Path, said: Attributes, prompts: list[str], generation: int | None
) -> dict[str, Any]:
    metadata = blank_metadata(path)
    # A model repeats the first where there's no second.
    type2 = None if said.type2 in (NONE, said.type1) else said.type2
    colors = list(dict.fromkeys([said.primary_color, said.secondary_color]))
    colors = [color for color in colors if color != NONE]
    if "back" in base_view(metadata["view"]):
        rng = random.Random(path.stem)
        prompts = [p if _SAYS_BACK.search(p) else from_behind(p, rng) for p in prompts]
    metadata["prompts"] = own_captions(path) or prompts
    categorical: dict[str, Any] = {
        "type1": said.type1,
        "type2": type2,
        "evolution_stage": said.evolution_stage,
    }
    metadata["visual_attributes"] = {
        "primary_colors": colors,
        "color_distribution": {
            "primary": colors[0],
            "secondary": colors[1] if len(colors) > 1 else None,
        },
        "body_shape": said.shape,
        "size": said.size,
    }
    metadata["categorical_attributes"] = categorical
    metadata["semantic_attributes"] = {
        "habitat": said.habitat,
        "legendary": said.legendary == "Yes",
        "mythical": said.mythical == "Yes",
    }
    metadata["sources"] = dict.fromkeys(said.known(), "vision")
    if generation is not None and 1 <= generation <= 9:
        categorical["generation"] = generation
        metadata["sources"]["generation"] = "vision"
    add_by_hand(metadata, path)
    return metadata
