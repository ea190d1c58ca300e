import numpy as np

from pokejax.text import StaticTextEncoder


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_vectors_mean_something():
    encoder = StaticTextEncoder.load()
    fire, flame, water = encoder.encode(["a fire lizard", "flaming reptile", "whale"])
    assert fire.shape == (encoder.dim,) == (256,)
    assert fire.dtype == np.float32
    assert cosine(fire, flame) > cosine(fire, water) + 0.2


def test_scale_order_and_batching():
    encoder = StaticTextEncoder.load()
    prompts = ["blue turtle", "red dragon", "ghost"]
    together = encoder.encode(prompts)
    np.testing.assert_allclose(np.sqrt((together**2).mean(axis=1)), 1, rtol=1e-5)
    alone = np.concatenate([encoder.encode([prompt]) for prompt in prompts])
    np.testing.assert_array_equal(together, alone)


def test_odd_prompts_embed_without_error():
    encoder = StaticTextEncoder.load()
    odd = encoder.encode(["", "\ud800 half a pair", "火の竜 🔥", "\x00"])
    assert np.isfinite(odd).all()
    np.testing.assert_array_equal(odd[0], np.zeros(256))
    assert encoder.encode([]).shape == (0, 256)


def test_identity_is_stable():
    encoder = StaticTextEncoder.load()
    # Of wordllama 0.4.0.post1's two files; a change would orphan every bundle.
    assert encoder.identity == StaticTextEncoder.load().identity
    assert encoder.identity.startswith("static-rms-")
