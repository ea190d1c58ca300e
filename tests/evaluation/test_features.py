import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageDraw

from pokejax.evaluation import features
from pokejax.evaluation.nearest import nearest_pictures
from pokejax.images.pixels import to_float
from pokejax.models import lpips

pytestmark = pytest.mark.weights


def pictures(n: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Some lopsided shapes in many colours on white."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        image = Image.new("RGB", (side, side), "white")
        draw = ImageDraw.Draw(image)
        for _ in range(3):
            x, y, w, h = rng.integers(4, side // 2, 4).tolist()
            fill = tuple(rng.integers(0, 256, 3).tolist())
            draw.ellipse((x, y, x + w, y + h), fill, "black")
        images.append(np.asarray(image))
    return np.stack(images)


def test_distance_between_vectors_is_lpips():
    x, y = pictures(5), pictures(5, seed=1)
    a, b = (features.extract(images).perceptual for images in (x, y))
    weights, distance = lpips.distance_function()
    pixels = [to_float(jnp.asarray(images)) for images in (x, y)]
    np.testing.assert_allclose(
        ((a - b) ** 2).sum(1), distance(weights, *pixels), rtol=1e-4
    )


def test_pooled_features_are_scaled_as_documented():
    pooled = features.extract(pictures(70)).pooled  # more than one batch
    assert pooled.shape == (70, features.DIM)
    products = pooled @ pooled.T / features.DIM
    assert products.min() > 0 and products.max() <= 1
    np.testing.assert_allclose(
        pooled[66:], features.extract(pictures(70)[66:]).pooled, rtol=1e-4, atol=1e-5
    )


def test_the_space_is_pinned():
    """Whoever changes these numbers must give the space another name."""
    y, x = np.mgrid[:64, :64]
    image = np.stack([4 * x, 4 * y, 2 * (x + y)], -1).astype(np.uint8)[None]
    found = features.extract(image, perceptual=False)
    assert found.perceptual.shape == (1, 0)
    assert features.NAME == "alexnet-lpips-pool-v1"
    # A channel of each layer, and the first numbers of the projection.
    some = found.pooled[0, [35, 240, 403, 869, 1034]]
    projected = features.fid_projection(found.pooled)[0, :4]
    np.testing.assert_allclose(
        some, [3.48841, 2.35272, 2.21110, 2.56615, 3.18777], rtol=1e-3
    )
    np.testing.assert_allclose(
        projected, [-0.73888, 1.05883, 6.32501, 0.45343], rtol=1e-2
    )


def test_nearest_finds_the_picture_and_its_mirror_image():
    among = pictures(80)
    queries = np.concatenate([among[[70, 3]], among[[12]][:, :, ::-1]])
    found = nearest_pictures(queries, among)
    np.testing.assert_array_equal(found.row, [70, 3, 12])
    np.testing.assert_allclose(found.distance, 0, atol=1e-5)
    far = nearest_pictures(pictures(4, seed=9), among)
    assert (far.distance > 0.02).all()
    vectors = features.extract(among).perceptual
    for query, distance in zip(pictures(4, seed=9), far.distance, strict=True):
        both = features.extract(np.stack([query, query[:, ::-1]])).perceptual
        exact = ((both[:, None] - vectors[None]) ** 2).sum(-1).min()
        assert distance == pytest.approx(exact, rel=1e-3)
