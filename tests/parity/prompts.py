"""The strings on which tokenizers are compared: ordinary, odd and hostile."""

import itertools
import random

from pokejax.attributes import COLORS, SHAPES, TYPES

HAND_WRITTEN = [
    "",
    " ",
    "\t\n  \r\n",
    "a",
    "A small blue water creature with a shell.",
    "Pikachu, I choose you!",
    "PIKACHU pIkAcHu pikaCHU",
    "don't can't won't it's I'm you're they've we'll he'd o'clock 'tis 'S 'LL 'Re",
    "don’t it’s “quoted” ‘single’ — em–dash… ellipsis",
    "rock'n'roll ''s '' ' 's's'ss 'd've",
    "0 1 12 123 1234 3.14159 1,000,000 1e-5 0xFF 1st 2nd 50% №5 ½ ² ③ Ⅷ",
    "٣ ४ 五 ６ x² H₂O",
    "don't stop-motion state_of_the_art snake_case CamelCase kebab-case",
    "!?!?!?... ;;; ((nested [brackets] {here})) <tag> a/b\\c a|b ~`@#$%^&*-_=+",
    "http://example.com/path?q=1&r=2#frag user@example.com C:\\dir\\file.txt",
    "&amp; &lt;b&gt; &#39; &nbsp; &quot;html&quot;",
    "x = f(y) + 2 ** 3; // comment\nreturn x",
    "<|startoftext|>",
    "<|endoftext|>",
    "a <|endoftext|> b",
    "a<|endoftext|>b<|startoftext|>c",
    "<|ENDOFTEXT|> <| endoftext |> <|endoftext",
    "<start_of_text> <end_of_text> [CLS] [SEP] [PAD] <pad> </s> <unk> </w>",
    "café naïve façade Pokémon señor Ångström Łódź Žižek",
    "cafe\u0301 nai\u0308ve Poke\u0301mon A\u030angstro\u0308m",
    "ﬁre ﬂame Ǆ ǅ ǆ Straße STRASSE ẞ ſ İstanbul ıI ΣΊΣΥΦΟΣ ς",
    "ＦＵＬＬ ｗｉｄｔｈ　ｔｅｘｔ！",
    "𝓕𝓪𝓷𝓬𝔂 𝕋𝕖𝕩𝕥 🅰🅱 Ⓒⓘⓡⓒⓛⓔ",
    "火の竜 ピカチュウ ポケモン、ゲットだぜ！ ひらがな",
    "火焰龙 水系寶可夢 一隻藍色的小鳥",
    "불꽃 드래곤 포켓몬스터 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "огненный дракон Покемон ЁЖ",
    "δράκος της φωτιάς",
    "تنين ناري أحمر",
    "דרקון אש אדום",
    "आग का ड्रैगन हिन्दी",
    "มังกรไฟสีแดง",
    "rồng lửa màu đỏ",
    "🔥🐉 💧🐢 ⚡️🐭 🌱",
    "👨‍👩‍👧‍👦 👍🏽 🇯🇵🇫🇷 1️⃣ ❤️‍🔥 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "fire🔥dragon🐉 cute😊!!!😊😊",
    "tab\tnewline\ncarriage\rreturn\x0bvertical\x0cform",
    "no\u00a0break\u2003em\u2009thin\u3000wide\u202fnarrow\u205fmath\u1680ogham",
    "zero\u200bwidth\u200cnon\u200djoin\u2060er\ufeffbom \u180e",
    "line\u2028sep\u2029par\x85nel\x1cfs\x1dgs\x1ers\x1fus",
    "nul\x00bell\x07back\x08esc\x1bdel\x7f c1\x80\x9f soft\xadhyphen",
    "replacement\ufffd private\ue000 nonchar\uffff astral\U0001f9ff\U0010fffd",
    "z̷̢͈͝a̴̬̎l̵̰̓g̶̱͌o̸͇͒ \u0301leading combining",
    "rtl \u202eoverride\u202c \u200fmark",
    "a" * 1000,
    "supercalifragilisticexpialidocious" * 20,
    "!" * 400,
    "🔥" * 100,
    "9" * 200,
    " leading",
    "trailing ",
    "  both  inner   runs  ",
    "#version of a hash: # ## #1",
]
WORDS = """
a the small big cute fierce glowing ancient baby legendary creature monster sprite
dragon bird fish turtle flower rock ghost with without and of from in on wings tail
horns scales fur shell flames leaves crystals eyes claws forest mountain cave sea
desert sky volcano moonlight standing flying sleeping smiling pixel art 64x64 don't
it's Pokémon-like blue-green red, yellow. silver; gold! 2nd evolution stage
"""
# Blocks that random strings draw from: (first, last) code points.
BLOCKS = (
    (0x20, 0x7E),
    (0x20, 0x7E),
    (0x00, 0x9F),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0xDFF),
    (0x1100, 0x11FF),
    (0x1E00, 0x206F),
    (0x2070, 0x2BFF),
    (0x3000, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFB00, 0xFFEF),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF),
)


def all_prompts() -> list[str]:
    """Return at least 500 strings, always the same ones."""
    rng = random.Random(20)
    words = WORDS.split()
    templates = [
        f"A {color} {kind}-type creature, {shape} body, number {i}"
        for i, (color, kind, shape) in enumerate(
            itertools.islice(itertools.product(COLORS, TYPES, SHAPES), 0, 1400, 14)
        )
    ]
    sentences = [
        " ".join(rng.choices(words, k=rng.randint(3, 40))).capitalize()
        for _ in range(130)
    ]
    # Around the cut at 77 tokens, word by word, and far beyond it.
    edges = [" ".join(["dragon"] * n) for n in range(70, 81)]
    long = [" ".join(rng.choices(words, k=300)) for _ in range(12)]
    shouted = [rng.choice(sentences).swapcase() for _ in range(20)]
    noise = [_noise(rng) for _ in range(220)]
    return [*HAND_WRITTEN, *templates, *sentences, *edges, *long, *shouted, *noise]


def _noise(rng: random.Random) -> str:
    blocks = rng.sample(BLOCKS, k=rng.randint(1, 3))
    points = (rng.randint(*rng.choice(blocks)) for _ in range(rng.randint(1, 60)))
    spaced = (" " if rng.random() < 0.15 else chr(point) for point in points)
    return "".join(spaced)
