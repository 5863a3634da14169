"""Augmentation of whole batches as tensor code, with every random number drawn before any pixel is touched.

Draws are made for the global batch on the CPU and then cut to the process's share, so the views do not depend on the
device nor on the number of processes.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.params import Augment

JITTER_PROBABILITY = 0.8  # SupContrast recipe
ASPECT = (3 / 4, 4 / 3)  # torchvision's RandomResizedCrop
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Draws:
    """Random numbers of a batch of B samples, each (B,) unless said."""

    shift: Tensor  # int64 (B, 2): row and column offset into the padded image
    area: Tensor  # fraction of the image's area a resized crop keeps
    aspect: Tensor  # its width over height
    place: Tensor  # (B, 2) in 0..1: where the crop lies
    flip: Tensor  # bool
    jitter: Tensor  # (B, 3): factors of brightness, contrast, saturation
    grey: Tensor  # bool

    def share(self, rows: slice) -> "Draws":
        """Return the draws of some samples."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw(count: int, augment: Augment, generator: torch.Generator) -> Draws:
    """Draw for `count` samples; the same generator state gives the same draws for any settings' strength."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    log_low, log_high = (torch.tensor(value).log() for value in ASPECT)
    jitter = 1 + augment.jitter * (2 * uniform(3) - 1)
    return Draws(
        shift=(uniform(2) * (2 * augment.padding + 1)).long(),
        area=augment.min_area + (1 - augment.min_area) * uniform(),
        aspect=(log_low + (log_high - log_low) * uniform()).exp(),
        place=uniform(2),
        flip=uniform() < augment.flip,
        jitter=torch.where(uniform(1) < JITTER_PROBABILITY, jitter, torch.ones(1)),
        grey=uniform() < augment.grayscale,
    )


def apply(images: Tensor, draws: Draws, augment: Augment) -> Tensor:
    """Return augmented images; float (B, C, H, W) in 0..1 both ways."""
    if augment.min_area < 1:
        images = resized_crop(images, draws)
    if augment.padding:
        images = shifted(images, draws.shift, augment.padding)
    if augment.flip:
        images = torch.where(_per_image(draws.flip, images), images.flip(-1), images)
    if augment.jitter:
        images = jittered(images, draws.jitter)
    if augment.grayscale and images.shape[1] == 3:
        images = torch.where(_per_image(draws.grey, images), _luminance(images).expand_as(images), images)
    return images


def shifted(images: Tensor, offsets: Tensor, padding: int) -> Tensor:
    """Pad with black and crop back at per-sample offsets, int64 (B, 2) in 0..2*padding."""
    batch, _, height, width = images.shape
    offsets = offsets.to(images.device)
    padded = F.pad(images, [padding] * 4)
    rows = offsets[:, :1] + torch.arange(height, device=images.device)
    columns = offsets[:, 1:] + torch.arange(width, device=images.device)
    samples = torch.arange(batch, device=images.device)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def resized_crop(images: Tensor, draws: Draws) -> Tensor:
    """Cut a box of the drawn area, aspect and place out of each image and scale it back to full size."""
    width = (draws.area * draws.aspect).sqrt().clamp(max=1)
    height = (draws.area / draws.aspect).sqrt().clamp(max=1)
    centre = (2 * draws.place - 1) * (1 - torch.stack([height, width], dim=1))
    boxes = torch.zeros(len(images), 2, 3)
    boxes[:, 0, 0], boxes[:, 0, 2] = width, centre[:, 1]
    boxes[:, 1, 1], boxes[:, 1, 2] = height, centre[:, 0]
    grid = F.affine_grid(boxes.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def jittered(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast and (in colour) saturation by per-sample factors (B, 3); result clamped to 0..1."""
    brightness, contrast, saturation = (_per_image(factor, images) for factor in factors.unbind(1))
    images = (images * brightness).clamp(0, 1)
    mean = _luminance(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 1)
    if images.shape[1] == 3:
        grey = _luminance(images)
        images = (grey + (images - grey) * saturation).clamp(0, 1)
    return images


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device).view(-1, 1, 1, 1)


def _luminance(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
