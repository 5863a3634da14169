"""Which samples are kept, the same for every model."""

import numpy as np

from unlearning.seeds import derive_seed


def kept_sample(count: int, max_samples: int, seed: int) -> np.ndarray:
    """Return sorted positions of `max_samples` of `count` samples; all where they fit."""
    if count <= max_samples:
        return np.arange(count)
    random = np.random.default_rng(derive_seed(seed, "kept", count))
    return np.sort(random.choice(count, max_samples, replace=False))


def balanced_sample(forget: np.ndarray, retain: np.ndarray, max_samples: int, seed: int) -> np.ndarray:
    """Return sorted positions, equally many of both kinds, `max_samples` at most in all."""
    count = min(len(forget), len(retain), max_samples // 2)
    random = np.random.default_rng(derive_seed(seed, "balanced"))
    return np.sort(np.concatenate([random.choice(part, count, replace=False) for part in (forget, retain)]))
