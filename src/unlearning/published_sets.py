"""How many classes and images the published sets have: what can be said of them before they are there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedSet:
    classes: int
    training: int  # images
    test: int  # images
    downloaded: bool  # whether the stage `split` may download it


PUBLISHED = {  # by the name of the source
    "cifar10": PublishedSet(10, 50_000, 10_000, downloaded=True),
    "cifar100": PublishedSet(100, 50_000, 10_000, downloaded=True),
    "imagenet": PublishedSet(1000, 1_281_167, 50_000, downloaded=False),
}


def downloadable(name: str) -> PublishedSet | None:
    """Return what is known of a source that is downloaded where it is not there; None for another."""
    known = PUBLISHED.get(name)
    return known if known is not None and known.downloaded else None
