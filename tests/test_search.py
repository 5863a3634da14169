"""The search over a small world: real runs of a real method, two trials."""

import csv
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from tests.conftest import SHAPE, files_of_at_most, values_of_params
from unlearning import search
from unlearning.data.manifest import Manifest
from unlearning.errors import Diverged, InputError
from unlearning.files import DiskFull
from unlearning.methods import method_config, method_search
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, new_header, save_checkpoint
from unlearning.params import CONTROLS, known_methods
from unlearning.search import DIVERGED, Repetition
from unlearning.selection import CRITERIA, Judge, Reached

PARAMS = Path(__file__).parents[1] / "params.yaml"
Search = Callable[..., list[dict[str, str]]]
ROOM = 30_000  # bytes: less than the trials take, more than params.yaml
REACHED = Reached(forget_acc=0.0, retain_acc=100.0, validation_forget_acc=0.0, validation_retain_acc=100.0, cka=50.0)


def give_up_never(**changes: Any) -> dict[str, Any]:
    return {"trials": 2, "give_up": 1000.0, "precisions": ["fp32"], "epochs_max": 2, **changes}


@pytest.fixture
def run_search(world: Manifest) -> Search:
    """Return a function that searches for a method from untrained models and returns the rows of `rl`'s CSV."""
    for number, name in enumerate(("original", "retrained")):
        for seed in (0, 1):
            torch.manual_seed(10 * number + seed)
            header = new_header(SHAPE, world, f"train@{name}", {})
            save_checkpoint(checkpoint_path(name, seed), Checkpoint(header, build(SHAPE), modules=None))

    def run(
        methods: tuple[str, ...] = ("rl",),
        argument: str = "rl",
        seeds: tuple[int, ...] = (0,),
        references: dict[str, dict[str, str]] | None = None,
        own: dict[str, object] | None = None,
        **changes: object,
    ) -> list[dict[str, str]]:
        values = values_of_params() | {"seeds": list(seeds)}
        values["references"] = references or values["references"]
        values["search"] |= give_up_never(**changes)
        for name in methods:
            values[name] |= {"batch_size": 8, "lr": 0.02, "epochs": 1, **(own or {})}
        values |= {"methods": {name: {"start": "original"} for name in methods}, "headline": methods[0]}
        values["figures"]["models"] = [methods[0]]
        Path("params.yaml").write_text(yaml.safe_dump(values))
        print("".join(search.search_all([argument])))
        with Path(f"metrics/search/{methods[0]}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def chosen_of(rows: list[dict[str, str]]) -> dict[str, str]:
    (chosen,) = [row for row in rows if row["chosen"] == "yes"]
    return chosen


def reached_in(row: dict[str, str]) -> Reached:
    return Reached(**{key: float(row[key]) for key in Reached.__dataclass_fields__ if row.get(key)})


def test_trials_are_listed_and_the_chosen_can_be_copied(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    utility: list[float] = []

    def look(reached: Reached, scale: search.Scale) -> float:
        utility.append(scale.beside.validation_retain_acc)
        return CRITERIA["h_mean"](reached, scale)

    monkeypatch.setattr(search, "CRITERIA", {"h_mean": look})
    rows = run_search()
    assert [(row["lr"], row["epochs"]) for row in rows][0] == ("0.02", "1")  # the values in use come first
    assert len(rows) == 2
    chosen = chosen_of(rows)
    assert float(chosen["score"]) == max(float(row["score"]) for row in rows)
    assert float(chosen["score"]) == pytest.approx(reached_in(chosen).h_mean, abs=0.01)
    written = yaml.safe_load(Path("metrics/search/rl.yaml").read_text())
    assert written == {"rl": {"lr": float(chosen["lr"]), "epochs": int(chosen["epochs"])}}
    for row in rows:
        reached = reached_in(row)
        assert float(row["score"]) == pytest.approx(reached.h_mean - 10 * reached.beyond(utility[0]), abs=0.01)
        assert int(row["runs"]) == 1
        assert int(row["samples"]) > 0


def test_accuracy_is_a_criterion(run_search: Search) -> None:
    for row in run_search(criterion="accuracy", trials=1, forget_weight=3.0):
        assert float(row["score"]) == pytest.approx(reached_in(row).kept(3.0), abs=0.01)


def test_closeness_is_to_the_retrained_model_of_the_same_seed(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = []

    def look(reached: Reached, scale: search.Scale) -> float:
        scales.append(scale.beside)
        return CRITERIA["closeness"](reached, scale)

    monkeypatch.setattr(search, "CRITERIA", {"closeness": look})
    run_search(criterion="closeness", trials=1, seeds=(0, 1))
    first, second = scales
    assert None not in scales
    assert first != second


def test_closeness_without_a_retrained_model_is_refused(run_search: Search) -> None:
    references = {"original": {"knows": "data/split"}}
    with pytest.raises(InputError, match=r"search\.criterion: closeness needs a retrained model among `references`"):
        run_search(criterion="closeness", references=references)


def test_h_mean_counts_idi_where_there_is_a_retrained_model(run_search: Search) -> None:
    alone = {"original": {"knows": "data/split"}}
    (with_idi,), (without,) = run_search(trials=1), run_search(trials=1, references=alone)
    assert with_idi["idi"]
    assert "idi" not in without
    assert float(without["score"]) == pytest.approx(replace(reached_in(with_idi), idi=None).h_mean, abs=0.01)


def test_the_other_criteria_need_no_retrained_model(run_search: Search) -> None:
    for path in Path("models/retrained").iterdir():
        path.unlink()
    assert len(run_search(trials=1, criterion="accuracy")) == 1
    assert len(run_search(trials=1, references={"original": {"knows": "data/split"}})) == 1
    with pytest.raises(InputError, match=r"no checkpoint models/retrained/0\.safetensors"):
        run_search(trials=1, criterion="closeness")


def test_another_retrained_model_is_another_search_for_closeness(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(criterion="closeness", trials=1)
    monkeypatch.setattr(search, "run_once", None)
    run_search(criterion="closeness", trials=1)
    checkpoint_path("retrained", 1).replace(checkpoint_path("retrained", 0))
    with pytest.raises(TypeError):
        run_search(criterion="closeness", trials=1)


def test_run_s_of_a_setting_starts_from_the_checkpoint_of_seed_s(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []

    def look(name: str, repetition: Repetition, config: object) -> tuple[Reached, int]:  # noqa: ARG001
        starts.append((repetition.seed, repetition.start.model.fc.weight.clone()))
        return REACHED, 1

    monkeypatch.setattr(search, "run_once", look)
    (row,) = run_search(seeds=(1, 0), trials=1)
    assert [seed for seed, _ in starts] == [1, 0]
    assert not torch.equal(starts[0][1], starts[1][1])
    assert row["runs"] == "2"


def test_the_start_is_not_changed_by_a_run_and_equal_runs_reach_the_same(run_search: Search) -> None:
    run_search(trials=1)
    params = search.load_params()
    repetition = search.repetition_of("rl", 0, "fp32", params, search.load_manifest())
    config = method_config("rl")
    before = {name: value.clone() for name, value in repetition.start.model.state_dict().items()}
    first, again = (search.run_once("rl", repetition, config) for _ in range(2))
    assert first == again
    assert first[0].cka < 99.9  # it did something
    assert all(torch.equal(value, before[name]) for name, value in repetition.start.model.state_dict().items())


def test_the_test_split_is_never_touched(run_search: Search) -> None:
    removed = [path for path in Path("data/split").rglob("*") if "test" in path.name]
    assert removed
    for path in removed:
        path.unlink()
    assert len(run_search()) == 2


def test_an_interrupted_search_goes_on(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, done = search.run_once, []

    def interrupted(*arguments: Any) -> tuple[Reached, int]:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(search, "run_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_search()
    monkeypatch.setattr(search, "run_once", whole)
    rows = run_search()
    assert [(row["lr"], row["epochs"]) for row in rows] == [("0.02", "1"), ("0.06", "1")]  # which was interrupted
    assert len(run_search(trials=4)) == 4


def test_a_step_that_helps_is_followed_by_the_next(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def best_at(_name: str, _config: Any, values: dict[str, float], *_: object) -> tuple[list[float], list, int]:
        return [-abs(math.log(values["lr"] / 0.2)) - values["epochs"]], [REACHED], 10

    monkeypatch.setattr(search, "run_setting", best_at)
    rows = run_search(trials=7, lr_max=10.0)
    tried = [(float(row["lr"]), int(row["epochs"])) for row in rows]
    assert tried[:5] == [(0.02, 1), (0.06, 1), (0.18, 1), (0.54, 1), (0.18, 2)]  # behind the best there is nothing new
    assert len(set(tried)) == 7  # and the sampler goes on


def test_damaged_trials_are_one_line(run_search: Search) -> None:
    run_search()
    database, chance = search.database_of("rl"), random.Random(0)
    content = database.read_bytes()
    for _ in range(5):
        damaged = bytearray(content)
        damaged[: 100 + chance.randrange(4000)] = chance.randbytes(100)
        database.write_bytes(damaged)
        with pytest.raises(InputError, match=r"^\.scratch/search/rl\.db: the trials .* remove the file, "):
            run_search()
        database.unlink()
    assert len(run_search()) == 2


def test_trials_that_find_no_room_are_one_line(run_search: Search) -> None:
    run_search()
    full = pytest.raises(DiskFull, match=r"^\.scratch/search/rl\.db cannot be written: it needs more, ")
    with files_of_at_most(ROOM), full:
        run_search(trials=3)
    assert len(run_search(trials=3)) == 3


def test_a_finished_search_runs_nothing_and_other_settings_are_another_search(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run_search()
    monkeypatch.setattr(search, "run_once", None)
    assert run_search() == rows
    for changes in ({"criterion": "accuracy"}, {"seeds": (1,)}, {"max_samples": 4}):
        with pytest.raises(TypeError):
            run_search(**changes)


def test_other_images_in_a_surrogate_folder_are_another_search(
    run_search: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "other images"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (12, 12), 60 * number).save(folder / f"{number}.png")

    def searched() -> list[dict[str, str]]:
        return run_search(methods=("scar",), argument="scar", trials=1, own={"surrogate": str(folder)})

    rows = searched()
    monkeypatch.setattr(search, "run_once", None)
    assert searched() == rows
    Image.new("L", (12, 12), 200).save(folder / "another.png")
    with pytest.raises(TypeError):
        searched()


def test_a_surrogate_folder_that_is_gone_is_named_with_its_key(run_search: Search) -> None:
    with pytest.raises(InputError, match=r"^scar\.surrogate: no folder nowhere;"):
        run_search(methods=("scar",), argument="scar", own={"surrogate": "nowhere"})


def test_more_trials_go_on_from_those_there_are(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, whole, runs = run_search(), search.run_once, []
    monkeypatch.setattr(search, "run_once", lambda *arguments: runs.append(1) or whole(*arguments))
    more = run_search(trials=3)
    assert len(runs) == 1
    values = [key for key in rows[0] if key != "chosen"]
    assert [[row[key] for key in values] for row in more[:2]] == [[row[key] for key in values] for row in rows]


def test_all_searches_every_row_of_the_table_but_controls(run_search: Search) -> None:
    run_search(methods=("rl", "pl", "head_distill"), argument="all", trials=1)
    assert "head_distill" in CONTROLS
    assert sorted(path.name for path in Path("metrics/search").iterdir()) == ["pl.csv", "pl.yaml", "rl.csv", "rl.yaml"]


def test_a_method_names_what_else_is_searched(run_search: Search) -> None:
    rows = run_search(methods=("cu",), argument="cu", trials=3)
    ranges = method_search("cu")
    assert set(ranges) == {"lambda_cu", "omega"}
    in_use = values_of_params()["cu"]
    assert [float(rows[0][key]) for key in ranges] == [in_use[key] for key in ranges]
    for row in rows:
        assert all(low <= float(row[key]) <= high for key, (low, high) in ranges.items())
        assert row["omega"] == str(int(row["omega"]))
    assert set(yaml.safe_load(Path("metrics/search/cu.yaml").read_text())["cu"]) == {"lr", "epochs", *ranges}


@pytest.mark.parametrize("name", known_methods())
def test_what_a_method_searches_is_in_its_parameters_and_its_values_in_use_within(name: str) -> None:
    config = method_config(name, PARAMS)
    for key, (low, high) in method_search(name).items():
        assert low <= getattr(config, key) <= high, key
        type(config).model_validate({**config.model_dump(), key: low})
        type(config).model_validate({**config.model_dump(), key: high})


def outcomes(monkeypatch: pytest.MonkeyPatch, *reached: Reached | type[Diverged]) -> list[int]:
    """Let the next runs reach these, each cheaper than the last; returns a list of the seeds that were run."""
    coming, seeds = iter(reached), []

    def run(name: str, repetition: Repetition, config: object) -> tuple[Reached, int]:  # noqa: ARG001
        seeds.append(repetition.seed)
        one = next(coming)
        if not isinstance(one, Reached):
            raise one("nan")
        return one, 100 - len(seeds)

    monkeypatch.setattr(search, "run_once", run)
    return seeds


def accuracy(value: float) -> Reached:
    """Return what scores this value by the criterion `accuracy`."""
    return replace(REACHED, validation_retain_acc=value)


def test_a_setting_that_falls_behind_in_its_first_seed_is_given_up_and_loses(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = outcomes(monkeypatch, *map(accuracy, (80, 70, 69.9, 70.0, 90.0)))
    rows = run_search(seeds=(0, 1), trials=3, give_up=10.0, criterion="accuracy")
    assert seeds == [0, 1, 0, 0, 1]  # 69.9 is more than ten below 80, 70 is not
    assert [row["runs"] for row in rows] == ["2", "1", "2"]
    assert [float(row["score"]) for row in rows] == [75.0, 69.9, 80.0]
    assert chosen_of(rows)["runs"] == "2"


def test_a_score_of_0_is_a_score(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `closeness` 0 is the best there is: what is far below it is given up."""
    retrained = accuracy(100.0)
    monkeypatch.setattr(Judge, "reached", lambda *_: retrained)
    seeds = outcomes(monkeypatch, accuracy(100), accuracy(100), accuracy(10), accuracy(10))
    run_search(seeds=(0, 1), trials=2, give_up=10.0, criterion="closeness")
    assert seeds == [0, 1, 0]


def test_a_setting_that_diverges_is_worse_than_any_other(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, Diverged, Diverged)
    rows = run_search()
    worst = CRITERIA["accuracy"](Reached(100, 0, 100, 0, 100), search.Scale(REACHED, 10.0))
    assert all(float(row["score"]) == DIVERGED < worst for row in rows)


@pytest.mark.parametrize("seeds", [(0, 1), (1, 0)])
def test_a_setting_that_diverges_in_its_last_seed_is_never_within_the_noise(
    run_search: Search, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, int]
) -> None:
    """Its scores deviate so much that their standard error is as large as their mean."""
    outcomes(monkeypatch, accuracy(60), accuracy(60), accuracy(62), Diverged)
    rows = run_search(seeds=seeds, criterion="accuracy")
    assert chosen_of(rows)["trial"] == "0"


def test_each_precision_is_a_run_of_each_seed(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = outcomes(monkeypatch, *map(accuracy, (90, 100, 80, 70)))
    (row,) = run_search(seeds=(0, 1), trials=1, precisions=["fp32", "bf16"], criterion="accuracy")
    assert seeds == [0, 0, 1, 1]
    assert float(row["score"]) == 85


def test_a_wrong_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PARAMS.parent)
    monkeypatch.setattr(search, "load_manifest", lambda: None)
    with pytest.raises(InputError, match="did you mean 'rl'"):
        list(search.search_all(["rll"]))


def test_a_setting_is_tried_in_the_first_seeds_alone_where_asked(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = outcomes(monkeypatch, accuracy(90))
    (row,) = run_search(seeds=(1, 0), trials=1, repetitions=1, criterion="accuracy")
    assert seeds == [1]
    assert row["runs"] == "1"
