"""What the resume state of a run must be to go on from: of this run, of this machine, and free of contradiction.

The hash in `resume` finds what was damaged; this finds what was put there, such as another run's progress.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

Whole = Annotated[int, Field(ge=0)]


class Unusable(Exception):
    """A state cannot be gone on from; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class SavedProgress(_Part):
    epochs: Annotated[list[Whole], Field(min_length=1)]
    step: Whole
    samples: Whole
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rows: list[dict[str, int | float]]
    memory: dict[str, Any]


class SavedWatch(_Part):
    seen: list[float]
    logs: dict[str, Tensor]
    last_finite: float


class SavedPosition(_Part):
    steps: Whole
    taken: list[Whole]
    random: dict[str, Tensor]
    watch: SavedWatch


class SavedOptimizer(_Part):
    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class State(_Part):
    """A state as it is saved."""

    run: str  # which run this is the state of: under which needs, and with which seed
    conditions: dict[str, str | int]  # of the machine: others give other roundings, and so a third model
    network: dict[str, Tensor]
    optimizer: SavedOptimizer
    progress: SavedProgress
    position: SavedPosition


def checked(raw: object, run: str, conditions: Mapping[str, str | int]) -> State:
    """Return a loaded state; raises Unusable where it is of another form, run or machine, or contradicts itself."""
    try:
        state = State.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if state.run != run:
        raise Unusable(f"it is of another run, {state.run}")
    if state.conditions != dict(conditions):
        raise Unusable(f"it was computed on {_said(state.conditions)}, and this is {_said(conditions)}")
    refuse_contradictions(state.progress, state.position)
    return state


def refuse_contradictions(progress: SavedProgress, position: SavedPosition) -> None:
    """Raise Unusable unless epochs, rows and steps count the same."""
    ends = [row.get("step", -1) for row in progress.rows]
    numbers = [row.get("epoch") for row in progress.rows]
    if numbers != list(range(1, sum(progress.epochs) + 1)):
        raise Unusable(f"it has {sum(progress.epochs)} epochs, and rows of {len(numbers)}")
    if ends != sorted(ends) or (ends[-1] if ends else 0) + position.steps != progress.step:
        raise Unusable(f"its {progress.step} steps are not those of its epochs")
    if any(taken > position.steps for taken in position.taken):
        raise Unusable("it has read more batches than it has done steps")


def refuse_other_plan(progress: SavedProgress, within: int, steps: list[int]) -> None:
    """Raise Unusable where the phase that a state is in has other epochs; steps: those of each epoch of the phase."""
    done, first = progress.epochs[-1], sum(progress.epochs[:-1])
    if done > len(steps) or (within and (done == len(steps) or within > steps[done])):
        raise Unusable(f"it is in epoch {done + 1} of a phase of {len(steps)}")
    begin = progress.rows[first - 1]["step"] if first else 0
    ends = [row["step"] - begin for row in progress.rows[first:]]
    if ends != [sum(steps[: number + 1]) for number in range(done)]:
        raise Unusable("its epochs have other numbers of steps")


def refuse_other_shapes(state: State, network: nn.Module, optimizer_groups: list[dict[str, Any]]) -> None:
    """Raise Unusable where a state's weights or moments are not of the network's names, shapes and types."""
    own = network.state_dict()
    wrong = sorted(state.network.keys() ^ own.keys())
    wrong += [name for name, value in own.items() if name in state.network and not _alike(state.network[name], value)]
    if wrong:
        raise Unusable(f"{wrong[0]} is of another network")
    sizes = [len(group["params"]) for group in optimizer_groups]
    if [len(group.get("params", ())) for group in state.optimizer.param_groups] != sizes:
        raise Unusable("its optimiser has other parameters")
    parameters = [parameter for group in optimizer_groups for parameter in group["params"]]
    for number, moments in state.optimizer.state.items():
        for name, value in moments.items():
            if number >= len(parameters) or not _fits(value, parameters[number]):
                raise Unusable(f"{name} of its optimiser is of another network")


def _alike(value: Tensor, own: Tensor) -> bool:
    return value.shape == own.shape and value.dtype == own.dtype


def _fits(moment: object, parameter: Tensor) -> bool:
    return not isinstance(moment, Tensor) or moment.ndim == 0 or moment.shape == parameter.shape


def _said(conditions: Mapping[str, str | int]) -> str:
    return ", ".join(f"{value} {key}" if isinstance(value, int) else value for key, value in conditions.items())
