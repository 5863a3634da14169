"""`unlearning purge` in a clone with photos outside of it: found before, gone after, and nothing else touched."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline import Clone, stages_run

pytestmark = pytest.mark.pipeline
CLASSES, PER_CLASS, SIDE = ("cat", "dog", "owl"), 12, 16


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twelve photos of each of three classes."""
    root, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(PER_CLASS):
            Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(
                root / name / f"{number}.png"
            )
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, warm: Path, photos: Path) -> Clone:
    """A clone that has erased `dog` from a model of its own, with a second split in DVC's cache; committed."""
    clone = Clone(tmp_path_factory.mktemp("clone"), warm)
    clone.keep_references(["original"])
    clone.keep_methods(["rl"])
    clone.set_params(
        {
            "seeds": [0],
            "data": {"name": "image_folder", "root": str(photos), "image_size": SIDE, "workers": 0},
            "forget": {"scenario": "classes", "classes": ["dog"]},
            "headline": "rl",
            "figures": {"models": ["rl"]},
        }
    )
    clone.set_params({"data": {"seed": 5}})
    clone.dvc("repro", "split")
    clone.set_params({"data": {"seed": 0}})
    clone.dvc("repro", "unlearn@rl")
    clone.commit()
    return clone


@pytest.fixture
def clone(built: Clone, tmp_path: Path) -> Clone:
    """Return a copy of the clone, for a test to spoil."""
    shutil.copytree(built.folder, tmp_path / "copy", symlinks=True)
    copy = object.__new__(Clone)
    copy.folder = tmp_path / "copy"
    own = {"PYTHONPATH": str(copy.folder / "src"), "DVC_SITE_CACHE_DIR": str(copy.folder / ".dvc/site")}
    copy.environment, copy.warm = built.environment | own, built.warm | own
    return copy


def purge(clone: Clone, *words: str) -> tuple[int, str]:
    done = clone.run("python", "-m", "unlearning", "purge", *words)
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def state_of(folder: Path) -> dict[str, bytes]:
    """Return every file with its content, without what only running leaves behind."""
    passing = (".dvc/site", ".dvc/tmp", ".git")
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    kept = {name: path for name, path in files.items() if not name.startswith(passing) and "__pycache__" not in name}
    return {name: path.read_bytes() for name, path in kept.items()}


def copies(folder: Path, photos: Path, of: str) -> list[str]:
    """Return the files below a folder that hold the pixels of a photo of a class, or its file, by plain reading."""
    wanted = [path.read_bytes() for path in (photos / of).iterdir()]
    for path in (photos / of).iterdir():
        wanted.append(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).tobytes())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name, content in files.items() if any(one in content for one in wanted))


def test_without_yes_all_is_listed_and_nothing_touched(clone: Clone, photos: Path) -> None:
    before, outside = state_of(clone.folder), state_of(photos)
    code, said = purge(clone)
    assert code == 0
    assert "Images of the erased classes 'dog'" in said
    assert "DVC's cache: pixels of 2 splits" in said
    assert "12 files outside this repository, of which nothing is ever removed" in said
    assert "models/original: the model: 1 file" in said
    assert "found: none" not in said
    assert "found where no place is known" not in said
    assert "nothing was removed" in said
    assert state_of(clone.folder) == before
    assert state_of(photos) == outside


def test_images_and_original_are_gone_and_the_erased_model_stays(clone: Clone, photos: Path) -> None:
    outside, erased = state_of(photos), (clone.folder / "models/rl/0.safetensors").read_bytes()
    assert {"data/split/test.npy", "data/split/train.npy"} <= set(copies(clone.folder, photos, "dog"))
    code, said = purge(clone, "--images", "--original", "--yes")
    assert copies(clone.folder, photos, "dog") == []
    assert said.count("found: none") >= 1
    assert code == 0, said
    assert not (clone.folder / "models/original").exists()
    assert not (clone.folder / ".scratch").exists()
    assert (clone.folder / "models/rl/0.safetensors").read_bytes() == erased
    assert state_of(photos) == outside
    assert "inputs: kept" in clone.read("params.yaml")
    assert stages_run(clone.dvc("repro", "--allow-missing", "unlearn@rl")) == []


def test_after_the_images_alone_nothing_runs_again(clone: Clone) -> None:
    code, said = purge(clone, "--images", "--yes")
    assert code == 0, said
    assert [path.name for path in (clone.folder / "data/split").iterdir()] == ["manifest.json"]
    assert stages_run(clone.dvc("repro", "unlearn@rl")) == []


def test_copies_that_nobody_knew_of_are_named_and_left_alone(clone: Clone, photos: Path) -> None:
    shutil.copy(photos / "dog/3.png", clone.folder / "notes.bin")
    clone.commit()
    code, said = purge(clone, "--images", "--yes")
    assert code == 1
    assert "    notes.bin: 1\n" in said
    assert "    git object " in said
    assert "still hold what was searched for" in said
    assert (clone.folder / "notes.bin").is_file()


def test_pages_that_show_them_are_removed_wherever_they_lie_and_others_stay(clone: Clone) -> None:
    mark = '<!doctype html><title>Erasure report: dog</title><meta name="pictured" content="[&#34;{}&#34;]">'
    pages = {name: clone.folder / name for name in (
        "metrics/report.html", "results/ours/report.html", ".dvc/cache/files/md5/ab/cd", ".dvc/tmp/exps/1/report.html",
    )}  # fmt: skip
    other = clone.folder / ".dvc/cache/files/md5/ab/ce"
    for path in [*pages.values(), other]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mark.format("cat" if path == other else "dog"))
    _, said = purge(clone)
    assert "metrics/report.html and its copies, which show them: 3 files" in said
    assert "DVC's cache: such pages of this run and of earlier ones: 1 file" in said
    code, said = purge(clone, "--images", "--yes")
    assert code == 0, said
    assert [name for name, path in pages.items() if path.exists()] == []
    assert other.is_file()


def test_a_split_that_is_not_what_the_lock_says_stops_before_anything_is_deleted(clone: Clone) -> None:
    clone.set_params({"data": {"seed": 7}})
    before = state_of(clone.folder)
    code, said = purge(clone, "--images", "--yes")
    assert code == 1
    assert "nothing was deleted" in said
    assert state_of(clone.folder) == before


def test_a_link_out_of_the_repository_is_not_followed(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/test.npy").write_bytes(b"somebody's own")
    shutil.rmtree(clone.folder / ".scratch")
    (clone.folder / ".scratch").symlink_to(tmp_path / "elsewhere")
    code, said = purge(clone, "--original", "--yes")
    assert code == 1
    assert "leads out of the repository; nothing was deleted" in said
    assert (tmp_path / "elsewhere/test.npy").is_file()
    assert (clone.folder / "models/original").exists()
