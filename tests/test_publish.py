from pathlib import Path

import pytest

from unlearning.errors import InputError
from unlearning.publish import publish

RUN = [
    "metrics/report.md", "metrics/per_class.csv", "params.yaml", "metrics/models/ec.json", "metrics/spread/ec.json",
    "metrics/details/ec.json", "plots/tsne.png",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files of a run, each holding its own name, and go there."""
    monkeypatch.chdir(tmp_path)
    for name in [*RUN, "plots/curves/ec.csv"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    return tmp_path


def files_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_report_numbers_figures_and_parameters_are_copied(run: Path) -> None:
    written = publish(Path("results/digits"))
    assert files_below(run / "results/digits") == {name.removeprefix("metrics/"): name for name in RUN}
    assert len(written) == len(RUN)


@pytest.mark.usefixtures("run")
def test_what_an_earlier_run_left_goes_and_what_was_written_by_hand_stays() -> None:
    target = Path("results/digits")
    publish(target)
    (target / "models/old.json").write_text("old")
    (target / "README.md").write_text("by hand")
    publish(target)
    assert "models/old.json" not in files_below(target)
    assert files_below(target)["README.md"] == "by hand"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("missing", RUN)
def test_nothing_is_written_when_something_is_missing(missing: str) -> None:
    Path(missing).unlink()
    with pytest.raises(InputError, match=r"not found; run `dvc repro` first"):
        publish(Path("results/digits"))
    assert not Path("results").exists()
