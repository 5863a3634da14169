"""A classifier with supervision points: an embedding and a prediction at several depths in one forward pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.models.backbone import classifier_of
from unlearning.models.ec_modules import point_key
from unlearning.models.taps import in_depth_order, penultimate, pooled, tapped

FINAL = "final"  # name of the last supervision point: penultimate feature and the model's own classifier


@dataclass(frozen=True)
class Supervision:
    """What one supervision point l gives for a batch."""

    feature: Tensor  # a^l(h^l(x)), (B, d), pooled, float32
    logits: Tensor | None  # g^l(a^l(h^l(x))), (B, classes), float32; None where the point has no head

    @property
    def embedding(self) -> Tensor:
        """z^l, (B, d): the feature, L2-normalised."""
        return F.normalize(self.feature, dim=1)

    def head_logits(self) -> Tensor:
        """Return the logits of a point that has a head, as the final one always does."""
        assert self.logits is not None
        return self.logits

    def rows(self, rows: slice) -> "Supervision":
        """Return some samples of the batch."""
        return Supervision(self.feature[rows], None if self.logits is None else self.logits[rows])


class SupervisedNetwork(nn.Module):
    """A classifier read at `points` (names of its layers) and at its end.

    modules: chains of `ec_modules` for some of the points; the others pool their raw feature.
    heads: whether each point before the last gets a fresh linear classifier.
    fp32_modules: whether the chains compute in float32, outside of any autocast (`Launch.fp32_modules` knows).
    """

    def __init__(
        self,
        model: nn.Module,
        points: list[str],
        modules: nn.ModuleDict | None = None,
        heads: bool = False,
        fp32_modules: bool = False,
    ) -> None:
        super().__init__()
        self.fp32_modules = fp32_modules
        self.model = model
        self.points = in_depth_order(model, points)
        self.attached = modules if modules is not None else nn.ModuleDict()
        self.heads = nn.ModuleDict()
        if heads:
            classes = int(classifier_of(model).out_features)  # type: ignore[arg-type]
            widths = {point_key(point): width for point, width in self._widths().items()}
            self.heads.update({key: nn.Linear(width, classes) for key, width in widths.items()})

    @property
    def names(self) -> list[str]:
        """Names of the supervision points in depth order."""
        return [*self.points, FINAL]

    def forward(self, images: Tensor) -> list[Supervision]:
        """Return the supervision points in depth order; the last is the classifier's own input and output."""
        with tapped(self.model, self.points) as features, penultimate(self.model) as last:
            logits = self.model(images)
        early = [self._supervise(point, features[point]) for point in self.points]
        return [*early, Supervision(last[0].float(), logits.float())]

    def _supervise(self, point: str, features: Tensor) -> Supervision:
        feature = self._feature(point, features)
        key = point_key(point)
        return Supervision(feature.float(), self.heads[key](feature).float() if key in self.heads else None)

    def _feature(self, point: str, features: Tensor) -> Tensor:
        key = point_key(point)
        return pooled(self._chain(key, features) if key in self.attached else features)

    def _chain(self, key: str, features: Tensor) -> Tensor:
        if not self.fp32_modules:
            return self.attached[key](features)
        with torch.autocast(features.device.type, enabled=False):
            return self.attached[key](features.float())

    @torch.no_grad()
    def _widths(self) -> dict[str, int]:
        """Measure the width of each point's feature with one blank image."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        with tapped(self.model, self.points) as features:
            self.model(blank_image(self.model))
        widths = {point: self._feature(point, features[point]).shape[1] for point in self.points}
        for module, mode in modes.items():
            module.training = mode
        return widths


def forward_pair(
    network: nn.Module, forget: Tensor, retain: Tensor, joint: bool
) -> tuple[list[Supervision], list[Supervision]]:
    """Return the supervision points of a forget and of a retain batch.

    joint: one forward pass of both, so that they share batch statistics (official CU code); else one each
    (the letter of the EC paper's Algorithm 1).
    """
    if not joint:
        return network(forget), network(retain)
    points = network(torch.cat([forget, retain]))
    count = len(forget)
    return [point.rows(slice(count)) for point in points], [point.rows(slice(count, None)) for point in points]


def blank_image(model: nn.Module) -> Tensor:
    """Return one black image that the model accepts: of its fixed size for patch models, else of 32 px."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    side = getattr(getattr(model, "patch_embed", None), "img_size", None) or (32, 32)
    return torch.zeros(1, first.in_channels, *side, device=first.weight.device)
