"""The paper's estimator of I(Z; Y): an InfoNCE critic whose features are a trainable copy of the model's later layers.

Direction: none by itself. Range: 0 nats (the untrained critic's) to H(Y), log 2 for balanced samples. Data: equally
many training images of forget and retain classes, raw outputs of a layer. Source: Jeon et al. (arXiv 2405.17878), as EC
B.6 uses it; no official code was found. Expected: original high, retrained lower. The critic is f(z) . g(y): f is a
trainable copy of the layers after the one measured plus a projection to R^d, g two trainable vectors. It has as many
weights as the model and memorises: see docs/idi.md.
"""

import torch
from torch import Tensor, nn

from unlearning.evaluation.tail import Tail
from unlearning.metrics.alone.mutual_information import Estimate, info_nce
from unlearning.params import MutualInformation
from unlearning.seeds import derive_seed, generator

BOUND_BATCH = 512  # samples, where a critic is only asked


class Critic(nn.Module):
    """s_y(z) = f(z) . g(y) for both labels."""

    def __init__(self, model: nn.Module, layer: str, dimension: int) -> None:
        super().__init__()
        self.tail = Tail(model, layer)
        width = int(model.get_classifier().in_features)  # type: ignore[operator]
        self.projection = nn.Linear(width, dimension)
        # Zero vectors: the untrained critic knows nothing and its estimate is exactly 0.
        self.label_vectors = nn.Parameter(torch.zeros(2, dimension))

    def forward(self, features: Tensor) -> Tensor:
        """Return scores (B, 2) for the layer's raw outputs of B samples."""
        embedding: Tensor = self.projection(self.tail(features))
        return embedding @ self.label_vectors.T

    def state(self) -> list[Tensor]:
        """Return a copy of everything that fitting changes."""
        return [tensor.detach().clone() for tensor in self._changing()]

    @torch.no_grad()
    def restore(self, state: list[Tensor]) -> None:
        """Go back to an earlier `state`."""
        for tensor, value in zip(self._changing(), state, strict=True):
            tensor.copy_(value)

    def _changing(self) -> list[Tensor]:
        own = [*self.projection.parameters(), self.label_vectors]
        return [*self.tail.late_parameters(), *self.tail.late_buffers(), *own]


def info_nce_information(
    model: nn.Module,
    layer: str,
    features: Tensor,
    labels: Tensor,
    cfg: MutualInformation,
    trial: int,
    device: torch.device,
) -> Estimate:
    """Fit a critic on part of the samples and return its bound on the rest, and on the part.

    features: raw outputs of `layer`, (n, ...), in any precision; labels (n,): 1 = forget, 0 = retain, about balanced.
    The critic is stopped at its best value on held-out samples: later it memorises, and the estimates part.
    """
    recipe = cfg.info_nce
    torch.manual_seed(derive_seed(cfg.seed, "critic", trial))
    fitted, held_out = _split(labels, cfg, trial)
    critic = Critic(model, layer, recipe.dimension).to(device)
    optimizer = torch.optim.Adam(
        [
            {
                "params": critic.tail.late_parameters() + list(critic.projection.parameters()),
                "lr": recipe.lr_features,
            },
            {"params": [critic.label_vectors], "lr": recipe.lr_labels},
        ],
        fused=True,
    )
    best, state = 0.0, critic.state()  # of the untrained critic
    for epoch in range(recipe.epochs):
        _fit_epoch(critic, optimizer, features, labels, fitted, cfg, (trial, epoch), device)
        value = _bound(critic, features, labels, held_out, device)
        if value > best:
            best, state = value, critic.state()
    critic.restore(state)
    return Estimate(best, _bound(critic, features, labels, fitted, device))


def _fit_epoch(
    critic: Critic,
    optimizer: torch.optim.Optimizer,
    features: Tensor,
    labels: Tensor,
    fitted: Tensor,
    cfg: MutualInformation,
    seed: tuple[int, int],
    device: torch.device,
) -> None:
    critic.train()
    order = fitted[torch.randperm(len(fitted), generator=generator(cfg.seed, "critic order", *seed))]
    size = min(cfg.info_nce.batch_size, len(order))
    for batch in order[: len(order) - len(order) % size].split(size)[: cfg.info_nce.max_steps_per_epoch]:
        optimizer.zero_grad(set_to_none=True)
        loss = -info_nce(critic(features[batch].to(device).float()), labels[batch].to(device))
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _bound(critic: Critic, features: Tensor, labels: Tensor, samples: Tensor, device: torch.device) -> float:
    critic.eval()
    scores = torch.cat([critic(features[batch].to(device).float()) for batch in samples.split(BOUND_BATCH)])
    return float(info_nce(scores.double().cpu(), labels[samples]))


def _split(labels: Tensor, cfg: MutualInformation, trial: int) -> tuple[Tensor, Tensor]:
    """Return (fitted, held-out) positions, each with the label frequencies of the whole."""
    fitted, held_out = [], []
    for label in (0, 1):
        samples = torch.nonzero(labels == label)[:, 0]
        order = samples[torch.randperm(len(samples), generator=generator(cfg.seed, "held out", trial, label))]
        count = max(1, round(cfg.info_nce.held_out * len(order)))
        held_out.append(order[:count])
        fitted.append(order[count:])
    return torch.cat(fitted), torch.cat(held_out)
