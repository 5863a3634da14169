"""The search over a small world: real runs of a real method, two trials."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import SHAPE
from unlearning import search
from unlearning.data.manifest import Manifest
from unlearning.errors import Diverged, InputError
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.search import Outcome

PARAMS = Path(__file__).parents[1] / "params.yaml"
Search = Callable[..., list[dict[str, str]]]


@pytest.fixture
def run_search(world: Manifest, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Return a function that searches for `rl` from an untrained model and returns the rows of the CSV."""
    torch.manual_seed(0)
    save_checkpoint(
        Path("models/original.safetensors"),
        Checkpoint(new_header(SHAPE, world, "train@original", {}), build(SHAPE), modules=None),
    )

    def run(methods: tuple[str, ...] = ("rl",), argument: str = "rl", **changes: object) -> list[dict[str, str]]:
        values = yaml.safe_load(PARAMS.read_text())
        values["search"] |= {"trials": 2, "seeds": 1, "precisions": ["fp32"], "epochs_max": 2} | changes
        values["rl"] |= {"batch_size": 8, "lr": 0.02, "epochs": 1}
        values |= {"methods": {name: {"start": "original"} for name in methods}, "headline": methods[0]}
        values["figures"]["models"] = list(methods)
        Path("params.yaml").write_text(yaml.safe_dump(values))
        monkeypatch.setattr("sys.argv", ["search", argument])
        search.main()
        with Path("metrics/search/rl.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def test_trials_are_listed_and_the_best_can_be_copied(run_search: Search) -> None:
    rows = run_search()
    assert [(row["lr"], row["epochs"]) for row in rows][0] == ("0.02", "1")  # the values in use come first
    assert len(rows) == 2
    best = max(rows, key=lambda row: float(row["score"]))
    chosen = yaml.safe_load(Path("metrics/search/rl.yaml").read_text())
    assert chosen == {"rl": {"lr": float(best["lr"]), "epochs": int(best["epochs"])}}
    for row in rows:
        expected = float(row["retain_acc"]) - 10 * float(row["forget_acc"])
        assert float(row["score"]) == pytest.approx(expected, abs=0.01)


def test_an_interrupted_search_goes_on(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, done = search.run_once, []

    def interrupted(*arguments: object) -> Outcome:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(search, "run_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_search()
    monkeypatch.setattr(search, "run_once", whole)
    rows = run_search()
    assert len(rows) == 2
    assert rows[0]["trial"] == "0"
    assert rows[1]["trial"] == "2"  # trial 1 was interrupted


def test_a_finished_search_runs_nothing_and_other_settings_are_another_search(
    run_search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run_search()
    monkeypatch.setattr(search, "run_once", None)
    assert run_search() == rows
    with pytest.raises(TypeError):
        run_search(forget_weight=5.0)


def test_all_searches_every_row_of_the_table(run_search: Search) -> None:
    run_search(methods=("rl", "pl"), argument="all", trials=1)
    assert sorted(path.name for path in Path("metrics/search").iterdir()) == ["pl.csv", "pl.yaml", "rl.csv", "rl.yaml"]


def test_a_diverging_trial_is_worse_than_any_other(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: object) -> Outcome:  # noqa: ARG001
        raise Diverged("nan")

    monkeypatch.setattr(search, "run_once", diverge)
    rows = run_search()
    assert all(float(row["score"]) < Outcome(forget_acc=100, retain_acc=0).score(10) for row in rows)


def test_a_trial_counts_by_its_mean_over_seeds_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = iter([Outcome(0, 90), Outcome(4, 100), Outcome(1, 80), Outcome(2, 70)])
    monkeypatch.setattr(search, "run_once", lambda *arguments: next(reached))  # noqa: ARG005
    from unlearning.params_file import load_params

    params = load_params(PARAMS)
    params = params.model_copy(
        update={"search": params.search.model_copy(update={"seeds": 2, "precisions": ["fp32", "bf16"]})}
    )
    assert search.run_trial("rl", params, None, None, None) == Outcome(1.75, 85)


@pytest.mark.parametrize(("argv", "message"), [(["s"], "which method"), (["s", "rll"], "did you mean 'rl'")])
def test_a_wrong_method_is_refused(argv: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PARAMS.parent)
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setattr(search, "load_manifest", lambda: None)
    with pytest.raises(InputError, match=message):
        search.main()
