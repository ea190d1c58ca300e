"""Convolutions that halve, keep and double a picture, in ways that CPUs run fast.

XLA's CPU backend takes two to four times as long as it need for the gradient of a
convolution with respect to its kernel. For one that keeps the size, `SameConv`, that
gradient is nine products of matrices, and is written down as such.

For doubling, there is no fast path at all for the gradient of a transposed convolution
with respect to its kernel: that is a convolution dilated on both sides, and runs as
plain loops. The same numbers come from the *adjoint*, a strided convolution, for which
the fast path exists, so the gradient is written down instead of derived. The forward
pass is one dense 2x2 convolution whose output is interleaved: it multiplies no zeros.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

KERNEL_SIZE = 4


class UpConv(nnx.Module):
    """Transposed 4x4 convolution, stride 2, padding 1: `b h w i` -> `b 2h 2w o`.

    The same map as `torch.nn.ConvTranspose2d(i, o, 4, stride=2, padding=1)`. `kernel`
    is `4 4 o i`, which is torch's `i o 4 4` transposed and not flipped.
    """

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        """Initialise like `nnx.ConvTranspose`: LeCun-normal kernel, zero bias."""
        init = nnx.initializers.variance_scaling(
            # Each output pixel sees a quarter of the kernel.
            4.0,
            "fan_in",
            "truncated_normal",
            in_axis=(0, 1, 3),
            out_axis=2,
        )
        shape = (KERNEL_SIZE, KERNEL_SIZE, out_features, in_features)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features))

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h2 w2 o"]:
        """Upsample `x`."""
        bias = self.bias[...].reshape(1, 1, 1, -1)
        return up_conv(x, self.kernel[...]) + bias


class SameConv(nnx.Module):
    """3x3 convolution that keeps the size: `nnx.Conv(i, o, (3, 3))`, trained faster."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        kernel_init: nnx.Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        """Initialise like `nnx.Conv`; `kernel_init` is LeCun-normal if it is None."""
        init = kernel_init or nnx.initializers.lecun_normal()
        shape = (3, 3, in_features, out_features)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features))

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        """Convolve `x`, padded with zeros."""
        return same_conv(x, self.kernel[...]) + self.bias[...].reshape(1, 1, 1, -1)


@jax.custom_vjp
def same_conv(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w o"]:
    """Convolution of `x`, padded by one zero, by `kernel`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _same_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return same_conv(x, kernel), (x, kernel)


def _same_backward(residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    _, h, w, features = x.shape
    x_bar = same_conv(y_bar, kernel[::-1, ::-1].swapaxes(2, 3))
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = y_bar.reshape(-1, y_bar.shape[-1])
    kernel_bar = [
        padded[:, i : i + h, j : j + w].reshape(-1, features).T @ rows
        for i in range(3)
        for j in range(3)
    ]
    return x_bar, jnp.stack(kernel_bar).reshape(kernel.shape)


same_conv.defvjp(_same_forward, _same_backward)


@jax.custom_vjp
def up_conv(
    x: Float[Array, "b h w i"], kernel: Float[Array, "4 4 o i"]
) -> Float[Array, "b h2 w2 o"]:
    """Transposed convolution of `x` by `kernel`, exact in value and gradient."""
    b, h, w, _ = x.shape
    o = kernel.shape[2]
    # Each of the four parities of an output pixel sees a 2x2 part of the kernel: row
    # 2m + a takes x[m - 1 + a + t] times kernel row 3 - a - 2t, for t in 0, 1.
    parts = kernel[::-1, ::-1].reshape(2, 2, 2, 2, o, -1)  # t a, u c, o i
    taps = parts.transpose(0, 2, 5, 1, 3, 4).reshape(2, 2, -1, 4 * o)
    y = lax.conv_general_dilated(
        x,
        taps,
        window_strides=(1, 1),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ).reshape(b, h + 1, w + 1, 2, 2, o)
    rows = [
        jnp.stack([y[:, a : a + h, c : c + w, a, c] for c in (0, 1)], axis=3)
        for a in (0, 1)
    ]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, o)


def _down_conv(y: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        y,
        kernel,
        window_strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return up_conv(x, kernel), (x, kernel)


def _backward(residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array, Array]:
    # <y_bar, up(x, k)> = <down(y_bar, k), x>: both gradients are gradients of `down`.
    x, kernel = residuals
    x_bar, pull_kernel = jax.vjp(lambda k: _down_conv(y_bar, k), kernel)
    (kernel_bar,) = pull_kernel(x)
    return x_bar, kernel_bar


up_conv.defvjp(_forward, _backward)


def half_conv(in_features: int, out_features: int, rngs: nnx.Rngs) -> nnx.Conv:
    """A 3x3 convolution that halves the picture: `b 2h 2w i` -> `b h w o`."""
    return nnx.Conv(
        in_features,
        out_features,
        kernel_size=(3, 3),
        strides=2,
        # torch's padding=1; "SAME" would pad the bottom and right only.
        padding=((1, 1), (1, 1)),
        rngs=rngs,
    )
