"""Random numbers without state: every draw is named by what it is for, so a run can stop and go on anywhere."""

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else, e.g. derive_seed(seed, "retain", epoch)."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed`: the same numbers on every device."""
    return torch.Generator().manual_seed(derive_seed(*parts))
