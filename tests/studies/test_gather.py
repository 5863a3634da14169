import csv
import json
import subprocess
from pathlib import Path

import pytest

from tests.figures.summaries import summary
from unlearning.errors import InputError
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER
from unlearning.studies import gather as gathering
from unlearning.studies.gather import gather, summaries_of, write_table
from unlearning.studies.study import Experiment, Study

PARAMS = "references:\n  original: {knows: x}\n  retrained: {knows: y}\nheadline: ec\nevaluate:\n  split: validation\n"


def git(*words: str) -> None:
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *named, *words], check=True, capture_output=True)


def commit(tag: str, rows: dict[str, Summary]) -> None:
    """Commit what `report` writes of some rows, as an experiment does, under a name."""
    Path("params.yaml").write_text(PARAMS)
    for name, one in rows.items():
        for folder, values in (("models", one.metrics), ("spread", one.spread), ("details", one.details)):
            file = Path("metrics") / folder / f"{name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
    git("add", ".")
    git("commit", "-m", tag)
    git("tag", tag)


@pytest.fixture
def two_experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init")
    subprocess.run(["dvc", "init", "-q"], check=True)
    references = {name: summary(forget_acc=0.0) for name in ("original", "retrained", ANOTHER)}
    commit("one", {**references, "ec": summary(forget_acc=0.0, cka=[10.0, 20.0, 30.0])})
    commit("two", {**references, "ec": summary(forget_acc=0.0, cka=[60.0, 60.0, 60.0])})


@pytest.mark.usefixtures("two_experiments")
def test_each_experiment_is_a_row_below_the_references(tmp_path: Path) -> None:
    models, splits = summaries_of({"one": "EC", "two": "without"})
    assert list(models) == ["original", "retrained", ANOTHER, "EC", "without"]
    assert splits == {"validation"}
    readme, numbers = write_table(models, "# Study\n", splits, tmp_path / "out")
    text = readme.read_text()
    assert text.startswith("# Study\n\n**Judged on the validation images**")
    assert "| EC |" in text
    assert "| **20.0 ± 10.0** |" in text
    with numbers.open() as file:
        rows = {(row["experiment"], row["number"]): (row["mean"], row["std"]) for row in csv.DictReader(file)}
    assert rows["EC", "cka"] == ("20.0", "10.0")
    assert rows["without", "cka"] == ("60.0", "0.0")
    assert rows["EC", "prototype.20"] == ("80.0", "0.0")


@pytest.mark.usefixtures("two_experiments")
def test_what_has_not_run_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not run on this commit: three; run them first"):
        gather(["three"], tmp_path / "out")
    with pytest.raises(InputError, match="'three' is no study"):
        gather(["three"], None)
    assert not (tmp_path / "out").exists()


def test_the_head_says_what_is_asked_and_what_each_changes() -> None:
    experiments = [Experiment(name="EC"), Experiment(name="CU", row="cu", change={"cu.lr": 0.1})]
    study = Study(about="Why?", row="ec", change={"evaluate.split": "validation"}, experiments=experiments)
    head = gathering.study_head("why", study)
    assert "# why\n\nWhy?\n" in head
    assert "`unlearning study why`" in head
    assert "- **EC**: `ec`\n- **CU**: `cu`, `cu.lr: 0.1`\n" in head
