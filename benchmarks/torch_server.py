"""The original's server, from its README: FastAPI and PyTorch, a picture a call.

    python benchmarks/torch_server.py --model runs/quickstart/model.safetensors

Needs torch, fastapi, uvicorn, pillow and safetensors; nothing of pokejax. It answers
`POST /api/v1/generate` in the way that FastAPI's users write it: a plain function that
FastAPI runs in its pool of threads, the model called under `no_grad`, the picture saved
by Pillow and sent as base64. Weights and layer sizes are the bundle's, so the work per
picture is the same. Instead of CLIP's text tower a lookup stands in, which favours this
server: the comparison is about serving.
"""

# pyright: reportMissingImports=false

import argparse
import base64
import io
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel
from safetensors import safe_open
from torch import nn


class Decoder(nn.Module):
    """Gate, two linear layers and three transposed convolutions, as in the README."""

    def __init__(self, weights: dict[str, torch.Tensor]):
        super().__init__()

        def linear(name: str) -> nn.Linear:
            kernel = weights[f"{name}.kernel"]
            layer = nn.Linear(*kernel.shape)
            layer.weight.data = kernel.T.contiguous()
            layer.bias.data = weights[f"{name}.bias"]
            return layer

        def up(name: str) -> nn.ConvTranspose2d:
            kernel = weights[f"{name}.kernel"]  # 4 4 o i
            layer = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 4, 2, 1)
            layer.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            layer.bias.data = weights[f"{name}.bias"]
            return layer

        self.gate = linear("condition_gate.linear")
        self.fc1, self.fc2 = linear("decoder.fc1"), linear("decoder.fc2")
        self.ups = nn.ModuleList([up(f"decoder.up{i}") for i in (1, 2, 3)])

    def forward(self, z: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        cond = cond * torch.sigmoid(self.gate(cond))
        x = F.gelu(self.fc1(torch.cat([z, cond], dim=1)), approximate="tanh")
        x = F.gelu(self.fc2(x), approximate="tanh")
        channels = self.ups[0].in_channels
        side = int((x.shape[1] // channels) ** 0.5)
        x = x.view(-1, side, side, channels).permute(0, 3, 1, 2)
        x = F.gelu(self.ups[0](x), approximate="tanh")
        x = F.gelu(self.ups[1](x), approximate="tanh")
        return torch.tanh(self.ups[2](x))


class Asked(BaseModel):
    prompt: str
    num_samples: int = 1
    seed: int | None = None
    use_llm_parsing: bool = False


def load(path: str) -> tuple[Decoder, int, int]:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["pokejax"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    cond_dim = weights["condition_gate.linear.bias"].shape[0]
    return Decoder(weights).eval(), header["config"]["model"]["latent_dim"], cond_dim


def make_app(path: str) -> FastAPI:
    model, latent_dim, cond_dim = load(path)
    app = FastAPI()

    @app.post("/api/v1/generate")
    def generate(asked: Asked) -> dict[str, object]:
        start = time.perf_counter()
        seed = int(np.random.randint(2**31)) if asked.seed is None else asked.seed
        urls = []
        for i in range(asked.num_samples):
            noise = torch.Generator().manual_seed(seed + i)
            words = torch.Generator().manual_seed(hash(asked.prompt) % 2**31)
            with torch.no_grad():
                z = torch.randn(1, latent_dim, generator=noise)
                cond = torch.randn(1, cond_dim, generator=words)
                image = model(z, cond)[0]
            pixels = ((image + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 0).numpy()
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            data = base64.b64encode(buffer.getvalue()).decode()
            urls.append(f"data:image/png;base64,{data}")
        return {
            "image": urls[0],
            "images": urls,
            "generation_time_ms": 1000 * (time.perf_counter() - start),
            "model_version": "pokemon_cvae_v1",
        }

    @app.get("/api/v1/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, default=8200)
    args = parser.parse_args()
    uvicorn.run(make_app(args.model), port=args.port, log_level="error")


if __name__ == "__main__":
    main()
