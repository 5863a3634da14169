"""The resized crop of one image while it is read, chosen before it is decoded: so no more of it is than is needed."""

import torch
from torch import Tensor

from unlearning.data.augment import ASPECT


class Crop:
    """A random part of an image, scaled to (size, size): torchvision's RandomResizedCrop, antialiased.

    It depends on the seed and the image's own size alone. The image may have been decoded at a part of its size, as
    `reduction` allows: then the same part of the picture is shown.
    """

    def __init__(self, seed: int, min_area: float, size: int) -> None:
        """min_area: share of the image, in (0, 1], that is shown at least; size: px."""
        self.seed, self.min_area, self.size = seed, min_area, size
        self._place: tuple[int, int, int, int] | None = None  # top, left, height and width within `_whole`
        self._whole = (0, 0)  # height and width

    def reduction(self, height: int, width: int) -> int:
        """Choose the part of an image of this height and width, px; return by what these may be divided."""
        self._choose(height, width)
        assert self._place is not None
        return min(self._place[2:]) // self.size

    def of(self, image: Tensor) -> Tensor:
        """Return the part, uint8 (C, size, size): image uint8 (C, H, W), whole or decoded smaller."""
        from torchvision.transforms.v2 import functional as transforms  # here: it takes as long to import as torch

        height, width = image.shape[-2:]
        if self._place is None:  # of a kind that is not decoded smaller
            self._choose(height, width)
        assert self._place is not None
        down, across = height / self._whole[0], width / self._whole[1]
        top, left, tall, wide = self._place
        part = [round(top * down), round(left * across), round(tall * down), round(wide * across)]
        crop: Tensor = transforms.resized_crop(image, *part, [self.size, self.size], antialias=True)
        return crop

    def _choose(self, height: int, width: int) -> None:
        from torchvision.transforms import RandomResizedCrop

        shape = torch.empty(1, height, width, device="meta")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._place = RandomResizedCrop.get_params(shape, [self.min_area, 1.0], list(ASPECT))
        self._whole = (height, width)
