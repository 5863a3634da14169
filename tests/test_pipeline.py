import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.pipeline import METHODS, Clone, heed_signals, stages_run
from unlearning.params import UnlearnRecipe

pytestmark = pytest.mark.pipeline
ALL = [
    "split", "train@original", "train@retrained", "pretrain_ec", "evaluate_reference@original",
    "evaluate_reference@retrained", "compare", "report",
    *(f"{stage}@{method}" for stage in ("unlearn", "evaluate") for method in METHODS),
]  # fmt: skip
MODELS = ["original", "retrained", *METHODS]
ROWS = ["original", "retrained", "another_retrained", *METHODS]
CHANGES = ("status", "--porcelain", "--", "metrics", "plots", "dvc.lock", "dvc.yaml")  # for git: of what is in it
TOY = """\
\"\"\"Toy: one step of nothing but weight decay.\"\"\"

from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    strength: float


def unlearn(run, cfg):
    network = run.optimise(run.model, cfg)
    for batch in run.batches("retain", cfg):
        yield cfg.strength * network(batch.images).square().mean()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Clone:
    """A clone after its first `dvc repro`, committed."""
    clone = Clone(tmp_path_factory.mktemp("clone"), warm)
    assert sorted(stages_run(clone.dvc("repro"))) == sorted(ALL)
    clone.commit()
    return clone


@pytest.fixture
def clone(built: Clone):
    yield built
    built.back()


def test_every_model_has_the_metrics_of_the_contract(clone: Clone) -> None:
    keys = {
        "forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc", "cka", "idi", "idi_abs", "h_mean",
        "retrain_gap", "linear_probe", "mia_auc", "seconds",
    }  # fmt: skip
    rows = {name: json.loads(clone.read(f"metrics/models/{name}.json")) for name in ROWS}
    assert all(set(row) == keys for row in rows.values())
    assert set(json.loads(clone.read("metrics/spread/ec.json"))) == keys
    assert (rows["original"]["cka"], rows["original"]["idi"]) == (pytest.approx(100), 1.0)
    assert [rows["retrained"][key] for key in ("forget_acc", "idi", "retrain_gap")] == [0.0, 0.0, 0.0]
    assert clone.read("metrics/headline.json") == clone.read("metrics/models/ec.json")
    table = clone.read("metrics/report.md").splitlines()
    shown = [line.split("|")[1].strip(" *").removesuffix(" (control)") for line in table[4 : 4 + len(ROWS)]]
    assert shown == ROWS
    assert "another" in clone.read("metrics/report.md").partition("How near to the retrained model")[2]
    for figure in ("cka_layers", "relearn", "prototype", "tsne", "retrieval"):
        assert (clone.folder / f"plots/{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert len(clone.read("metrics/per_class.csv").splitlines()) == 11
    details = json.loads(clone.read("metrics/details/ec.json"))
    assert list(details["seeds"]) == ["0", "1"]
    mean = details["mean"]
    assert "idi_denominator" in mean["idi"]
    assert list(mean["relearn"]["forget"]) == ["1", "3"]
    assert 0 <= mean["js_divergence"] <= 1
    each = [seed["metrics"]["cka"] for seed in details["seeds"].values()]
    assert rows["ec"]["cka"] == pytest.approx(sum(each) / 2)
    assert each[0] != each[1]


def test_the_control_that_changes_nothing_but_the_classifier_is_exposed(clone: Clone) -> None:
    row = json.loads(clone.read("metrics/models/head_distill.json"))
    assert row["cka"] == pytest.approx(100)
    assert row["idi"] == pytest.approx(1, abs=0.000001)
    assert row["h_mean"] == pytest.approx(0, abs=0.001)


@pytest.fixture
def toy(clone: Clone):
    """Return the file of a method that is not there yet; what the pipeline makes of it goes away with it."""
    yield clone.folder / "src/unlearning/methods/toy.py"
    for path in clone.folder.rglob("toy.*"):
        path.unlink()
    for folder in ("models/toy", "metrics/features/toy"):
        shutil.rmtree(clone.folder / folder, ignore_errors=True)


def test_a_method_is_added_by_a_file_a_block_and_a_line(clone: Clone, toy: Path) -> None:
    toy.write_text(TOY)
    values = yaml.safe_load(clone.read("params.yaml"))
    recipe = {key: values["rl"][key] for key in UnlearnRecipe.model_fields}
    clone.set_params({"toy": {**recipe, "strength": 0.1}, "methods": {"toy": {"start": "original"}}})
    assert stages_run(clone.dvc("repro")) == ["unlearn@toy", "evaluate@toy", "compare", "report"]
    assert "| toy |" in clone.read("metrics/report.md")
    assert "cka" in json.loads(clone.read("metrics/models/toy.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {"toy": {"start": "original"}}}, "methods: 'toy' has no block 'toy' with its parameters"),
        ({"methods": {"r1": {"start": "original"}}, "r1": {"epochs": 1}}, "no file src/unlearning/methods/r1.py"),
        ({"methods": {"rl": {"start": "orignal"}}}, "methods.rl.start: Input should be 'original' or 'ec_modules'"),
    ],
)
def test_a_method_that_is_only_half_there_is_named(clone: Clone, changes: dict, message: str) -> None:
    clone.set_params(changes)
    done = clone.run("python", "-m", "unlearning.check")
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_nothing_changed_nothing_run(clone: Clone) -> None:
    before = clone.git(*CHANGES)
    started = time.monotonic()
    output = clone.dvc("repro")
    assert time.monotonic() - started < 15  # 3 s alone; machines that run tests are busy
    assert stages_run(output) == []
    assert "Running stage 'data/dvc.yaml:inputs'" in output  # it alone always runs
    assert clone.git(*CHANGES) == before


def test_one_value_of_a_method_reruns_that_method_alone_and_going_back_runs_nothing(clone: Clone) -> None:
    output = clone.dvc("exp", "run", "-S", "ec.lambda_cu=1.0")
    assert stages_run(output) == ["unlearn@ec", "evaluate@ec", "compare", "report"]
    assert stages_run(clone.dvc("exp", "run", "-S", "ec.lambda_cu=1.5")) == []


def test_another_headline_reruns_only_the_report_and_metrics_diff_compares_methods(clone: Clone) -> None:
    assert stages_run(clone.dvc("exp", "run", "-S", "headline=cu")) == ["report"]
    shown = json.loads(clone.dvc("metrics", "diff", "--json", "--targets", "metrics/headline.json"))
    difference = shown["metrics/headline.json"]["seconds"]
    ec, cu = (json.loads(clone.read(f"metrics/models/{name}.json"))["seconds"] for name in ("ec", "cu"))
    assert (difference["old"], difference["new"]) == (ec, cu)


def test_other_classes_to_forget_train_no_original_again(clone: Clone) -> None:
    clone.set_params({"forget": {"seed": 3}})
    assert stages_run(clone.dvc("repro", "unlearn@ec")) == ["split", "unlearn@ec"]
    assert "train@retrained" in stages_run(clone.dvc("repro", "--dry", "train"))


def test_results_of_other_classes_are_not_left_beside_ones_own_and_come_back(clone: Clone) -> None:
    results = [clone.folder / name for name in ("metrics/models", "metrics/report.md", "plots/tsne.png")]
    clone.set_params({"forget": {"seed": 3}})
    output = clone.dvc("repro", "split")
    assert "the results in metrics and plots were of another split than params.yaml and its files give now" in output
    assert not any(path.exists() for path in results)
    clone.git("checkout", "HEAD", "--", "params.yaml", "dvc.lock", "metrics", "plots")
    assert stages_run(clone.dvc("repro", "unlearn@ec")) == []
    assert clone.git(*CHANGES) == "", clone.git("diff", "HEAD", "--", "dvc.lock")
    assert stages_run(clone.dvc("repro")) == []
    assert all(path.exists() for path in results)


def test_an_edited_list_of_classes_is_seen_and_another_class_erased(clone: Clone, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("3\n")
    clone.set_params({"forget": {"scenario": "file", "file": str(classes)}})
    assert stages_run(clone.dvc("repro", "unlearn@rl")) == ["split", "unlearn@rl"]
    assert stages_run(clone.dvc("repro", "unlearn@rl")) == []
    classes.write_text("5\n")
    assert stages_run(clone.dvc("repro", "unlearn@rl")) == ["split", "unlearn@rl"]
    assert json.loads(clone.read("data/forget.json"))["names"] == ["5"]


def test_a_downstream_set_runs_its_transfer_the_comparison_and_the_report_alone(clone: Clone, tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / ("dark", "light")[number % 2]
        folder.mkdir(exist_ok=True)
        Image.new("L", (9, 8), 60 * (1 + number % 2) + number).save(folder / f"{number}.png")
    clone.set_params({"downstream": [{"name": "shades", "source": "image_folder", "root": str(tmp_path)}]})
    run = stages_run(clone.dvc("repro"))
    assert sorted(run) == sorted([*(f"{stage_of(name)}@{name}-set0" for name in MODELS), "compare", "report"])
    metrics = {name: json.loads(clone.read(f"metrics/models/{name}.json")) for name in MODELS}
    assert metrics["retrained"]["knn_gap"] == {"shades": 0.0}
    assert 0 <= metrics["ec"]["knn"]["shades"] <= 100
    gap = metrics["ec"]["knn"]["shades"] - metrics["retrained"]["knn"]["shades"]
    assert metrics["ec"]["knn_gap"]["shades"] == abs(gap)
    assert "k-NN shades" in clone.read("metrics/report.md")


def stage_of(model: str) -> str:
    return "transfer" if model in METHODS else "transfer_reference"


def test_models_made_elsewhere_are_rows_and_the_references_audited_are_what_they_are(
    clone: Clone, tmp_path: Path
) -> None:
    files = {name: [tmp_path / f"{name}{seed}.safetensors" for seed in (0, 1)] for name in ("original", "retrained")}
    for name, of_seeds in files.items():
        for seed, file in enumerate(of_seeds):
            file.write_bytes((clone.folder / f"models/{name}/{seed}.safetensors").read_bytes())
    entries = {f"its_{name}": {"checkpoint": [str(file) for file in of_seeds]} for name, of_seeds in files.items()}
    clone.set_params({"audit": entries})
    run = stages_run(clone.dvc("repro"))
    own = [f"{stage}@{name}" for stage in ("audit", "evaluate_audited") for name in entries]
    assert sorted(run) == sorted([*own, "compare", "report"])
    for name in files:
        numbers = [json.loads(clone.read(f"metrics/details/{row}.json")) for row in (name, f"its_{name}")]
        assert [without_cost(one) for one in numbers] == [without_cost(numbers[0])] * 2
    table = clone.read("metrics/report.md")
    assert table.index("| head_distill (control) |") < table.index("| its_original (audited) |")
    assert stages_run(clone.dvc("repro")) == []
    files["original"][1].write_bytes(files["retrained"][1].read_bytes())
    assert stages_run(clone.dvc("repro")) == [
        "audit@its_original",
        "evaluate_audited@its_original",
        "compare",
        "report",
    ]


def without_cost(details: Any) -> Any:
    """Return the numbers without those of the training, which nobody knows of a model made elsewhere."""
    if not isinstance(details, dict):
        return details
    return {key: without_cost(value) for key, value in details.items() if key not in ("cost", "seconds")}


def test_a_downstream_set_that_is_not_there_is_one_clear_line(clone: Clone) -> None:
    clone.set_params({"downstream": [{"name": "birds", "source": "cub200", "root": "data/raw/CUB_200_2011"}]})
    done = clone.run("python", "stages/transfer.py", "ec", "--name", "birds")
    assert done.returncode == 1
    assert "birds (cub200) expects the folder data/raw/CUB_200_2011/images; unpack CUB_200_2011.tgz" in done.stdout
    assert "Traceback" not in done.stdout


def test_shadow_models_run_only_when_asked_for_and_give_lira(clone: Clone) -> None:
    clone.set_params({"lira": {"shadows": [0, 1]}})
    assert stages_run(clone.dvc("repro")) == ["shadow@0", "shadow@1", "compare", "report"]
    auc = json.loads(clone.read("metrics/details/original.json"))["mean"]["lira"]
    assert 0 <= auc["low"] <= auc["auc"] <= auc["high"] <= 100
    assert "LiRA" in clone.read("metrics/report.md")


@pytest.mark.parametrize("stage", ["train@retrained", "pretrain_ec", "unlearn@ec"])
def test_a_repeated_stage_writes_the_same_bytes(clone: Clone, stage: str) -> None:
    name = {"pretrain_ec": "ec_modules"}.get(stage, stage.partition("@")[2])
    before = clone.lock(stage, f"models/{name}")
    shutil.rmtree(clone.folder / ".scratch")  # of what is kept there, nothing would be done again
    assert stages_run(clone.dvc("repro", "--force", "--single-item", stage, new=True)) == [stage]
    assert clone.lock(stage, f"models/{name}") == before


def test_a_training_killed_in_its_second_seed_keeps_the_first_and_goes_on_in_the_second(clone: Clone) -> None:
    before = clone.lock("train@original", "models/original")
    scratch = clone.folder / ".scratch"
    shutil.rmtree(scratch)
    process = subprocess.Popen(
        ["python", "stages/train.py", "original"],
        cwd=clone.folder, env=clone.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and not list(scratch.glob("train-original-1-*/state.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    output = clone.dvc("repro", "--force", "--single-item", "train@original")
    assert "train@original: seed 0 was finished before" in output
    assert "seed 1 was finished before" not in output
    assert " 0/" not in output.replace("?, ?step/s", "")  # the bar starts where the run was
    assert clone.lock("train@original", "models/original") == before
    assert not list(scratch.glob("*/state.pt"))


def test_ctrl_c_ends_a_training_in_one_line_that_says_what_is_saved(clone: Clone) -> None:
    shutil.rmtree(clone.folder / ".scratch", ignore_errors=True)
    process = subprocess.Popen(
        ["python", "stages/train.py", "original"],
        cwd=clone.folder, env=clone.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_signals,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and not list((clone.folder / ".scratch").glob("train-original-0-*/state.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert re.fullmatch(
        r"interrupted: train@original, seed [01]: (its epochs up to \d are|it is) saved(| up to step \d+, in epoch \d);"
        " the same command goes on",
        said.splitlines()[-1],
    )


def test_run_does_what_dvc_repro_does_and_says_how_far_it_is(clone: Clone) -> None:
    values = yaml.safe_load(clone.read("params.yaml"))
    clone.set_params({"cu": {**values["cu"], "lr": 0.0123}})
    done = clone.run("python", "-m", "unlearning", "run")
    assert done.returncode == 0, done.stdout
    assert stages_run(done.stdout) == ["unlearn@cu", "evaluate@cu", "compare", "report"]
    said = re.findall(r"^(stage \d of \d: \S+?|\d stages run in .*?)(?:,.*)?$", done.stdout, flags=re.MULTILINE)
    assert said[:4] == [
        "stage 1 of 4: unlearn@cu", "stage 2 of 4: evaluate@cu", "stage 3 of 4: compare", "stage 4 of 4: report"
    ]  # fmt: skip
    assert said[4].startswith("4 stages run in ")
    idle = clone.run("python", "-m", "unlearning", "run").stdout
    assert stages_run(idle) == []
    again = clone.run("python", "-m", "unlearning", "run", "--", "--force", "evaluate@cu").stdout
    assert re.search(r"^stage \d+ of \d+: evaluate@cu, about \d+ s left in all$", again, flags=re.MULTILINE)
    assert "stage 1" not in idle
    clone.run("python", "-m", "unlearning", "run")  # what was forced took other seconds, which `compare` reads


def test_run_ends_with_the_exit_code_and_message_of_dvc(clone: Clone) -> None:
    done = clone.run("python", "-m", "unlearning", "run", "nosuch")
    assert (done.returncode, done.stdout) == (255, "ERROR: Stage 'nosuch' not found inside 'dvc.yaml' file\n")


def test_ctrl_c_to_a_run_and_its_stage_is_one_line(clone: Clone) -> None:
    clone.set_params({"train": {**yaml.safe_load(clone.read("params.yaml"))["train"], "epochs": 300}})
    process = subprocess.Popen(
        ["python", "-m", "unlearning", "run", "train@original"],
        cwd=clone.folder, env=clone.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=heed_signals,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and not list((clone.folder / ".scratch").glob("train-original-0-*/state.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert said.count("interrupted") == 1
    assert said.splitlines()[-1].endswith("; the same command goes on")


def test_a_seed_more_computes_that_seed_alone(clone: Clone) -> None:
    first = (clone.folder / "models/original/0.safetensors").read_bytes()
    clone.dvc("repro", "train@original")  # what was killed or forgotten is kept again
    clone.set_params({"seeds": [0, 1, 5]})
    output = clone.dvc("repro", "--single-item", "train@original")
    assert stages_run(output) == ["train@original"]
    assert output.count("was finished before") == 2
    names = sorted(path.name for path in (clone.folder / "models/original").iterdir())
    assert names == ["0.safetensors", "1.safetensors", "5.safetensors"]
    assert (clone.folder / "models/original/0.safetensors").read_bytes() == first


def test_a_typo_stops_before_anything_is_written(clone: Clone) -> None:
    before = (clone.folder / "models/ec/0.safetensors").read_bytes()
    params = clone.folder / "params.yaml"
    params.write_text(params.read_text().replace("lambda_cu: 1.5", "lamda_cu: 1.5"))
    done = clone.run("python", "stages/unlearn.py", "ec")
    assert done.returncode == 1
    assert "ec.lamda_cu: unknown key (did you mean 'lambda_cu'?)" in done.stdout
    assert "Traceback" not in done.stdout
    assert (clone.folder / "models/ec/0.safetensors").read_bytes() == before
    checked = clone.run("python", "-m", "unlearning.check")
    assert checked.returncode == 1
    assert "lamda_cu" in checked.stdout


def test_own_checkpoint_replaces_training_the_original(clone: Clone, tmp_path: Path) -> None:
    own = tmp_path / "deployed.safetensors"
    own.write_bytes((clone.folder / "models/original/0.safetensors").read_bytes())
    another = (clone.folder / "models/original/1.safetensors").read_bytes()
    clone.set_params({"original": {"checkpoint": str(own)}})
    assert stages_run(clone.dvc("repro", "train", "unlearn@rl")) == ["split", "train@original", "unlearn@rl"]
    costs = json.loads(clone.read("metrics/cost/original.json"))
    assert {seed: one["cost"] for seed, one in costs.items()} == {"0": None, "1": None}
    of_seeds = [(clone.folder / f"models/original/{seed}.safetensors").read_bytes() for seed in (0, 1)]
    assert of_seeds[0] == of_seeds[1]
    assert stages_run(clone.dvc("repro", "train@original")) == []
    assert not json.loads(clone.read("data/split/manifest.json"))["splits"]["test"].get("borrowed")  # it is known
    own.write_bytes(another)
    assert stages_run(clone.dvc("repro", "train@original")) == ["split", "train@original"]
    replaced = (clone.folder / "models/original/0.safetensors").read_bytes()
    assert replaced != of_seeds[0]


def test_an_idi_that_would_be_noise_is_left_out_with_its_reason_and_measures_nothing_again(clone: Clone) -> None:
    clone.set_params({"idi": {"floor": 0.69}})
    assert stages_run(clone.dvc("repro")) == ["compare", "report"]
    assert "idi" not in json.loads(clone.read("metrics/models/ec.json"))
    assert "below idi.floor = 0.69 the ratio is noise" in clone.read("metrics/report.md")


def test_idi_can_be_left_out(clone: Clone) -> None:
    clone.set_params({"mutual_information": {"layers": []}})
    clone.dvc("repro", "--single-item", "evaluate@ec")
    raw = json.loads(clone.read("metrics/raw/ec.json"))
    assert [raw[seed]["measured"]["mutual_information"] for seed in ("0", "1")] == [{}, {}]


def test_without_a_retrained_model_the_rest_is_reported(clone: Clone) -> None:
    clone.keep_references(["original"])
    assert stages_run(clone.dvc("repro")) == ["compare", "report"]
    rows = {path.stem: json.loads(path.read_text()) for path in (clone.folder / "metrics/models").iterdir()}
    assert set(rows) == {"original", *METHODS}
    assert set(rows["ec"]) == {
        "forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc", "cka", "h_mean", "linear_probe", "mia_auc",
        "seconds",
    }  # fmt: skip
    text = clone.read("metrics/report.md")
    assert "There is no retrained model" in text
    assert "*retrained*" not in text
    shutil.rmtree(clone.folder / "models/retrained")
    assert stages_run(clone.dvc("repro", "--dry")) == []
