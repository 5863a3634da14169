import html
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import values_of_params
from unlearning.data.manifest import Manifest, Split, save_manifest
from unlearning.data.written import SPLITS
from unlearning.errors import InputError
from unlearning.page.pictured import TITLE, as_mark
from unlearning.publish import publish

RUN = [
    "metrics/report.md", "metrics/report.html", "metrics/per_class.csv", "params.yaml", "metrics/models/ec.json",
    "metrics/spread/ec.json", "metrics/details/ec.json", "plots/tsne.png",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files of a run, each holding its own name, and go there."""
    monkeypatch.chdir(tmp_path)
    for name in [*RUN, "plots/curves/ec.csv"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    ask_for_photos(False)
    splits = {name: Split([f"{name}/0"], np.zeros(1, dtype=np.int64)) for name in SPLITS}
    save_manifest(Manifest("image_folder", ["dog", "cat"], 8, 1, [0.0], [1.0], "images", "content", splits, [0]))
    return tmp_path


def ask_for_photos(photos: bool) -> None:
    values = values_of_params()
    values["figures"]["photos"] = photos
    Path("params.yaml").write_text(yaml.safe_dump(values))


def files_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_report_numbers_figures_and_parameters_are_copied(run: Path) -> None:
    written = publish(Path("results/digits"))
    assert files_below(run / "results/digits") == {
        name.removeprefix("metrics/"): Path(name).read_text() for name in RUN
    }
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


@pytest.mark.usefixtures("run")
def test_a_page_with_photos_of_an_erased_class_is_published_only_when_they_are_asked_for() -> None:
    page, target = Path("metrics/report.html"), Path("results/photos")
    head = f"<!doctype html><title>{TITLE}</title>"
    page.write_text(f'{head}<meta name="pictured" content="{html.escape(as_mark(["cat", "dog"]))}">')
    with pytest.raises(InputError, match=r"report.html shows photos of erased classes, .* figures.photos: false"):
        publish(target)
    assert not target.exists()
    page.write_text(f'{head}<meta name="pictured" content="{html.escape(as_mark(["cat"]))}">')
    publish(target)
    page.write_text(head)  # does not say
    ask_for_photos(True)
    publish(target)
    assert (target / "report.html").read_text() == head
