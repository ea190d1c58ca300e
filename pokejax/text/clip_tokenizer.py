"""Prompts to CLIP token ids, with the `tokenizers` package alone.

Owns the normaliser, the pre-tokeniser and the special tokens of CLIP's byte-pair
encoding. Must not import `transformers`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

BOS = "<|startoftext|>"
EOS = "<|endoftext|>"

# Contractions, runs of letters, single digits, runs of anything else but space.
_PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
# Identity is taken from ids, not from file bytes, so that a checkpoint saved again by
# another version is still the same encoder. These words touch every part of the rule.
_PROBE = "Ａ Shiny  Pokémon's\u00a02nd EVOLUTION, drawn in blue-green… 火 🔥 don't"


class ClipTokenizer:
    """CLIP's byte-pair encoding, cut to the tower's length with the end token kept."""

    def __init__(self, tokenizer: Tokenizer, *, max_length: int, pad_token: str = EOS):
        """Wrap a `tokenizers` tokenizer that adds its own start and end token.

        Args:
            tokenizer: the tokenizer; its own padding and truncation are replaced.
            max_length: longest sequence returned, in tokens, both ends counted.
            pad_token: the token that fills a batch up to its longest prompt.

        Raises:
            ValueError: the padding token isn't in the vocabulary.
        """
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_length)
        pad_id = tokenizer.token_to_id(pad_token)
        if pad_id is None:
            raise ValueError(f"padding token {pad_token!r} isn't in the vocabulary")
        # The reference makes it special, which shows in prompts: OpenCLIP's padding
        # token is "!", and from then on every "!" in a prompt is that token.
        self._tokenizer.add_special_tokens([pad_token])
        self.pad_id: int = pad_id
        self.vocab_size = max(tokenizer.get_vocab().values()) + 1

    @classmethod
    def load(cls, folder: Path, *, max_length: int) -> "ClipTokenizer":
        """Read `tokenizer.json`, or `vocab.json` with `merges.txt`, from a folder.

        Args:
            folder: the checkpoint's folder.
            max_length: longest sequence returned, in tokens, both ends counted.

        Returns:
            The tokenizer; the padding token comes from `tokenizer_config.json` or
            `special_tokens_map.json` where there is one.

        Raises:
            FileNotFoundError: neither form of the tokenizer is there.
            ValueError: a file is there but can't be read as a CLIP tokenizer.
        """
        whole, vocab, merges = (
            folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
        )
        try:
            if whole.is_file():
                tokenizer = Tokenizer.from_file(str(whole))
            elif vocab.is_file() and merges.is_file():
                tokenizer = _byte_pair_tokenizer(
                    json.loads(vocab.read_text("utf-8")), _read_merges(merges)
                )
            else:
                raise FileNotFoundError(
                    f"{folder}: no tokenizer (tokenizer.json, "
                    "or vocab.json with merges.txt)"
                )
            return cls(tokenizer, max_length=max_length, pad_token=_pad_token(folder))
        except FileNotFoundError:
            raise
        except Exception as error:  # `tokenizers` raises bare Exception on a bad file
            raise ValueError(f"{folder}: unreadable tokenizer: {error}") from error

    def __call__(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return each prompt's ids, start and end token included, not padded.

        Args:
            prompts: `n` strings; longer ones are cut to `max_length` tokens, and the
                end token stays.

        Returns:
            `n` lists of 2 to `max_length` ids.
        """
        # A lone surrogate (JSON lets one through) has no UTF-8 form: it becomes "?".
        clean = [p.encode("utf-8", "replace").decode("utf-8") for p in prompts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]

    def fingerprint(self) -> bytes:
        """Return bytes that are equal for tokenizers that encode alike."""
        vocab = sorted(self._tokenizer.get_vocab().items())
        return json.dumps([vocab, self([_PROBE])[0], self.pad_id]).encode()


def _byte_pair_tokenizer(
    vocab: dict[str, int], merges: list[tuple[str, str]]
) -> Tokenizer:
    """Build CLIP's tokenizer from its tables, step by step as the reference does."""
    tokenizer = Tokenizer(
        BPE(
            vocab=vocab,
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=EOS,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([BOS, EOS])
    tokenizer.post_processor = processors.RobertaProcessing(
        (EOS, vocab[EOS]), (BOS, vocab[BOS]), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def _read_merges(path: Path) -> list[tuple[str, str]]:
    """Return the merge rules of a `merges.txt`, best first."""
    lines = path.read_text("utf-8").split("\n")
    # Only the first line can be the version comment: "#" is also a token that merges.
    if lines[0].startswith("#version"):
        lines = lines[1:]
    pairs = [tuple(line.split(" ")) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{path.name}: every line must be two tokens")
    return [(first, second) for first, second in pairs]


def _pad_token(folder: Path) -> str:
    """Return the padding token that the checkpoint names, else the end token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if path.is_file():
            token = json.loads(path.read_text("utf-8")).get("pad_token")
            if token is not None:
                return token["content"] if isinstance(token, dict) else token
    return EOS
