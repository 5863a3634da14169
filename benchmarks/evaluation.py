"""All that one model is measured by, beside the forward passes that any measuring needs."""

from collections.abc import Iterator

from benchmarks import world
from benchmarks.side_by_side import DEVICE, Goal, Line, line
from unlearning.evaluation.measuring import PARTS, Subject
from unlearning.evaluation.measuring import measure as measure_model
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.params_file import load_params

IMAGES, TEST = 45_000, 10_000
ROUNDS = 2
NETWORK, NAMED = (world.LARGE, "ResNet-50") if DEVICE.type == "cuda" else (world.SMALL, "the small ResNet")


def measure() -> Iterator[Line]:
    """The scenario's measures at its size; on a GPU with ResNet-50."""
    with world.workspace(IMAGES, TEST) as manifest:
        where, params = world.place(), load_params()
        model = world.network(NETWORK)
        timed = []
        for _ in range(ROUNDS):
            watch = Stopwatch(where, PARTS)
            with watch.round("bench"):
                measure_model(Subject("bench", 0, model, model), manifest, params, where, watch)
            spent = {name: value for name, value in watch.seconds.items() if name != "relearning"}
            timed.append((sum(spent.values()), spent["forward passes"]))
        shares = ", ".join(f"{name} {value:.0f} s" for name, value in spent.items())
        yield line(
            f"evaluation without relearning, {NAMED}, {IMAGES + TEST:,} images",
            "its forward passes", timed, Goal(1.5), "s", shares,
        )  # fmt: skip
