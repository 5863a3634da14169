"""The losses beside the plain forms of them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.side_by_side import DEVICE, Goal, Line, compare, line, peak_memory
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.supcon import supcon

TAU = 0.1
ANCHORS, WIDTH = 512, 2048
VIEWS, PROJECTED = 2048, 128


def measure() -> Iterator[Line]:
    yield from contrastive()
    yield from supervised()


def pair_sum(forget: Tensor, retain: Tensor, tau: float) -> Tensor:
    """Return Eq. 1 as it is written: the mean over all pairs of log exp(z_i . z_j / tau)."""
    return -torch.exp(forget @ retain.T / tau).log().mean()


def contrastive() -> Iterator[Line]:
    """Time and memory of Eq. 1, backward pass included."""
    forget, retain = (embeddings(ANCHORS, WIDTH, seed) for seed in (0, 1))

    def step(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[], None]:
        return repeated(lambda: torch.autograd.grad(loss(forget, retain, TAU), (forget, retain)))

    ours, theirs = step(contrastive_unlearning), step(pair_sum)
    against = "the sum over pairs"
    yield compare(f"CU/EC loss, {ANCHORS} x {WIDTH}, time", against, ours, theirs, Goal(1, at_most=False))
    gradients = forget.nbytes + retain.nbytes
    used = [
        peak_memory(lambda one=one: torch.autograd.grad(one(forget, retain, TAU), (forget, retain))) - gradients
        for one in (contrastive_unlearning, pair_sum)
    ]
    yield line(
        f"CU/EC loss, {ANCHORS} x {WIDTH}, memory", against, [(used[0] / 1e6, used[1] / 1e6)], Goal(20, at_most=False),
        "MB", "beyond the embeddings and their gradients",
    )  # fmt: skip


def supervised() -> Iterator[Line]:
    """Time and memory of SupCon beside pytorch-metric-learning's."""
    try:
        from pytorch_metric_learning.losses import SupConLoss  # ty: ignore
    except ImportError:
        return
    z = embeddings(VIEWS, PROJECTED, 0)
    labels = torch.arange(VIEWS, device=DEVICE) % 100
    peer = SupConLoss(temperature=TAU)

    def ours() -> object:
        return torch.autograd.grad(supcon(z, labels, TAU), z)

    def theirs() -> object:
        return torch.autograd.grad(peer(z, labels), z)

    against = "pytorch-metric-learning"
    goal = Goal(1)
    yield compare(f"SupCon, {VIEWS} embeddings, time", against, ours, theirs, goal)
    memory = [(peak_memory(ours) / 1e6, peak_memory(theirs) / 1e6)]
    yield line(f"SupCon, {VIEWS} embeddings, memory", against, memory, goal, "MB")


def embeddings(count: int, width: int, seed: int) -> Tensor:
    """Return random L2-normalised embeddings that ask for a gradient."""
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    return F.normalize(drawn, dim=1).requires_grad_()


def repeated(work: Callable[[], object], times: int = 50) -> Callable[[], None]:
    """Return the work so many times over: once is too short to time."""

    def again() -> None:
        for _ in range(times):
            work()

    return again
