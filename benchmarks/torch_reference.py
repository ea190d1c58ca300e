"""The original's model and train step in PyTorch, written from its README.

The other side of `train_step.py` and `generate_latency.py`; nothing of pokejax is used
but the reader of LPIPS's weights. Where the README leaves something open, the choice
is PyTorch's default (GELU by erf, initialisation), and nothing that slows it down is
added: the batch is float32 and on the device, LPIPS takes no gradients of its weights.
"""

# torch and lpips are in nobody's development environment.
# pyright: reportMissingImports=false

from collections.abc import Callable

import torch
import torch.nn.functional as F
from reference import lpips_model
from torch import nn

# Number of names and of dimensions of each attribute's table.
TABLES = ((18, 10), (19, 10), (11, 8), (12, 8), (8, 6), (5, 6), (6, 6), (10, 6))
TABLES += ((2, 2), (2, 2))
TEXT_DIM = 768
CONDITION_DIM = TEXT_DIM + sum(dim for _, dim in TABLES)
HIDDEN_DIM, LATENT_DIM = 512, 256
PERCEPTUAL_WEIGHT, KL_WEIGHT = 0.15, 8.0
LEARNING_RATE, GRAD_CLIP = 1e-4, 1.0

Tensors = dict[str, torch.Tensor]


class CategoryEmbedder(nn.Module):
    """Ten ids -> 64 numbers."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, dim) for n, dim in TABLES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        columns = [table(ids[:, i]) for i, table in enumerate(self.tables)]
        return torch.cat(columns, dim=1)


class Encoder(nn.Module):
    """Flat picture and condition -> mean and log-variance."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(128 * 8 * 8 + CONDITION_DIM, HIDDEN_DIM)
        self.fc1_norm = nn.LayerNorm(HIDDEN_DIM)
        self.dropout = nn.Dropout(0.2)
        self.fc_mu = nn.Linear(HIDDEN_DIM, LATENT_DIM)
        self.fc_logvar = nn.Linear(HIDDEN_DIM, LATENT_DIM)

    def forward(self, x: torch.Tensor, condition: torch.Tensor):
        x = F.gelu(self.conv1(x.view(-1, 3, 64, 64)))
        x = F.gelu(self.conv2(x))
        x = F.gelu(self.conv3(x)).flatten(1)
        x = self.fc1_norm(self.fc1(torch.cat([x, condition], dim=1)))
        x = self.dropout(F.gelu(x))
        return self.fc_mu(x), self.fc_logvar(x)


class Decoder(nn.Module):
    """Latent and condition -> flat picture in [-1, 1]."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(LATENT_DIM + CONDITION_DIM, HIDDEN_DIM)
        self.fc2 = nn.Linear(HIDDEN_DIM, 128 * 8 * 8)
        self.dropout = nn.Dropout(0.2)
        self.up1 = nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1)
        self.up3 = nn.ConvTranspose2d(32, 3, 4, stride=2, padding=1)

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        x = self.dropout(F.gelu(self.fc1(torch.cat([z, condition], dim=1))))
        x = F.gelu(self.fc2(x)).view(-1, 128, 8, 8)
        x = F.gelu(self.up2(F.gelu(self.up1(x))))
        return torch.tanh(self.up3(x)).flatten(1)


class CVAE(nn.Module):
    """The four parts together."""

    def __init__(self):
        super().__init__()
        self.category_embedder = CategoryEmbedder()
        self.condition_gate = nn.Sequential(
            nn.Linear(CONDITION_DIM, CONDITION_DIM), nn.Sigmoid()
        )
        self.encoder = Encoder()
        self.decoder = Decoder()

    def condition(self, text_emb: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        condition = torch.cat([text_emb, self.category_embedder(ids)], dim=1)
        return condition * self.condition_gate(condition)

    def forward(self, x: torch.Tensor, text_emb: torch.Tensor, ids: torch.Tensor):
        condition = self.condition(text_emb, ids)
        mu, logvar = self.encoder(x, condition)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.decoder(z, condition), mu, logvar

    def decode(self, z: torch.Tensor, text_emb: torch.Tensor, ids: torch.Tensor):
        return self.decoder(z, self.condition(text_emb, ids))


def random_batch(batch_size: int) -> Tensors:
    """A training batch: `b 12288` pixels, `b 768` text, `b 10` ids."""
    return {
        "x": torch.rand(batch_size, 3 * 64 * 64) * 2 - 1,
        "text_emb": torch.randn(batch_size, TEXT_DIM),
        "ids": torch.stack([torch.randint(n, (batch_size,)) for n, _ in TABLES], 1),
    }


def train_step(batch_size: int, *, compiled: bool) -> Callable[[], float]:
    """One step of the original's recipe at beta = 1, as a function to be timed.

    Args:
      batch_size: pictures a step.
      compiled: put forward pass and loss through `torch.compile`; its backward pass
        comes with it.

    Returns:
      A function that takes a step and returns its loss, so that all work is done.
    """
    torch.manual_seed(0)
    model = CVAE().train()
    perceptual = lpips_model("alex")
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    batch = random_batch(batch_size)

    def loss_function(x, text_emb, ids) -> torch.Tensor:
        recon, mu, logvar = model(x, text_emb, ids)
        l1 = F.l1_loss(recon, x)
        shape = (-1, 3, 64, 64)
        distance = perceptual(recon.view(shape), x.view(shape)).mean()
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
        return l1 + PERCEPTUAL_WEIGHT * distance + KL_WEIGHT * kl

    if compiled:
        loss_function = torch.compile(loss_function)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(**batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimizer.step()
        return float(loss.detach())

    return step


def generate(batch_size: int, *, compiled: bool) -> Callable[[], int]:
    """Pictures from prompt embeddings, as a function to be timed.

    Returns:
      A function that draws, and returns the number of bytes of uint8 pixels drawn.
    """
    torch.manual_seed(0)
    model = CVAE().eval()
    batch = random_batch(batch_size)
    decode = torch.compile(model.decode) if compiled else model.decode

    @torch.inference_mode()
    def draw() -> int:
        z = torch.randn(batch_size, LATENT_DIM)
        flat = decode(z, batch["text_emb"], batch["ids"])
        pixels = ((flat.view(-1, 3, 64, 64) + 1) * 127.5).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).numpy().nbytes

    return draw
