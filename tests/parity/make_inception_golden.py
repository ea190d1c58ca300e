"""Makes `goldens/inception.json`: pytorch-fid's network on random weights.

    pip install torch torchvision pytorch-fid
    python tests/parity/make_inception_golden.py

The real weights can't be committed (90 MB) nor fetched from a package index; the
network can be compared without them. Weights and pictures come from NumPy's frozen
`RandomState(0)` and `(1)`; see `random_inception.py`.
"""

# torch and its companions are in nobody's development environment.
# pyright: reportMissingImports=false

import json
from pathlib import Path

import torch
import torchvision
from pytorch_fid import inception
from random_inception import random_pictures, random_weights

GOLDEN = Path(__file__).parent / "goldens" / "inception.json"


def main() -> None:
    inception.load_state_dict_from_url = lambda *_, **__: {}
    # It would download the real weights: an empty dictionary stands in for them.
    load = torch.nn.Module.load_state_dict
    torch.nn.Module.load_state_dict = lambda *_, **__: None
    model = inception.fid_inception_v3()
    torch.nn.Module.load_state_dict = load
    shapes = {
        name: list(value.shape)
        for name, value in model.state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    weights = {k: torch.from_numpy(v) for k, v in random_weights(shapes).items()}
    model.load_state_dict(weights, strict=False)
    x = torch.from_numpy(random_pictures()).permute(0, 3, 1, 2)
    model.eval()
    pool = torch.nn.functional.max_pool2d
    with torch.no_grad():
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            x = getattr(model, name)(x)
        x = pool(x, 3, 2)
        for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3"):
            x = getattr(model, name)(x)
        x = pool(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(model, f"Mixed_{name}")(x)
        features = x.mean(dim=(2, 3)).numpy()
    made_with = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    content = {
        "made_by": "tests/parity/make_inception_golden.py",
        "made_with": made_with | {"pytorch-fid": "0.3.0"},
        "shapes": shapes,
        "features": [[float(f"{value:.6g}") for value in row] for row in features],
    }
    GOLDEN.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
