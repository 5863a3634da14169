"""metrics/transfer/<set>/<model>.json: k-NN accuracy on a downstream set, a sealed record a seed."""

from typing import Any

from unlearning.read_back import Percent, sealed
from unlearning.records.chain import Chain, Record


class TransferRecord(Record):
    chain: Chain
    set: str
    knn_acc: Percent


def transfer_record(chain: dict[str, Any], name: str, knn_acc: float) -> dict[str, Any]:
    """Return the sealed record; name: of the downstream set."""
    return sealed({"chain": chain, "set": name, "knn_acc": knn_acc})
