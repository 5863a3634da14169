"""What stands on the page, without a browser."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import DROPPED, SHAPE, values_of_params
from tests.page.build import content_of, manifest_of, with_classes
from tests.page.models import DEEP, made_up
from unlearning.data.manifest import Manifest
from unlearning.files import sha256_of
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.page import provenance
from unlearning.page.pictured import shows
from unlearning.page.render import as_script, render

LARGEST = 8_000_000  # bytes, of 20 models and 1,000 classes
PICTURE = re.compile("data:image/(?:png;base64,iVBORw0KGgo|jpeg;base64,/9j/)")
ASSETS = Path(provenance.__file__).parent / "assets"


def page_of(manifest: Manifest, **changes: object) -> str:
    return render(content_of(with_classes(made_up(cu=DEEP), 6), manifest, **changes))


def text_of(page: str) -> str:
    """Return what the elements of a page say, without scripts and styles."""
    page = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_first_thing_said_is_what_was_erased_how_it_went_and_what_is_not_promised(manifest: Manifest) -> None:
    said = text_of(page_of(manifest))
    assert said.startswith("Erasure report: bee, elk")
    places = [said.index(text) for text in (
        "Erased bee elk 2 classes of made-up: 6 classes", "The verdict here is on cu", "a mean over 3 repetitions",
        "cu: forgotten in depth", "What this page cannot promise", "They do not prove that nothing is left",
        "Verdict on each model",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "comes out as “forgotten in the outputs only”, as must be" in said


def test_one_seed_is_called_a_single_draw(manifest: Manifest) -> None:
    said = text_of(render(content_of(with_classes(made_up(seeds=1, cu=DEEP), 6), manifest)))
    assert "One seed: every number is a single draw." in said
    assert "There is no noise floor" in said


def test_without_a_retrained_model_the_page_says_which_words_are_left_out(manifest: Manifest) -> None:
    said = text_of(render(content_of(with_classes(made_up(retrained=False, cu=DEEP), 6), manifest)))
    assert "This word needs a retrained model, and none was trained" in said
    assert "There is no retrained model. What a model that never saw the classes would answer" in said


def test_a_model_made_elsewhere_is_called_audited_wherever_it_is_named(manifest: Manifest) -> None:
    models = with_classes(made_up(cu=DEEP, vendor=DEEP | {"cost": {}}), 6)
    page = render(content_of(models, manifest, audit={"vendor": {"checkpoint": "vendor.pt"}}))
    assert "Made elsewhere, and audited: vendor. The verdict here is on cu" in text_of(page)
    assert "Made elsewhere: vendor. By what method" in text_of(page)
    named = re.findall(r'<span class="model (\w+)">vendor</span> <span class="kind">(\w+)</span>', page)
    assert len(named) >= 5  # verdict, evidence, tables
    assert set(named) == {("audited", "audited")}


def test_precision_is_the_one_that_auto_came_to_where_that_is_known(manifest: Manifest) -> None:
    used = "cost__precision"
    known = made_up(cu=DEEP | {used: ["bf16", "fp32", "bf16"]})
    said = text_of(render(content_of(with_classes(known, 6), manifest, precision="auto")))
    assert "Precision auto, which was bf16; fp32 Trained on CPU" in said
    assert "Precision auto Trained on" in text_of(page_of(manifest, precision="auto"))
    same = made_up(cu=DEEP | {used: "bf16"})
    said = text_of(render(content_of(with_classes(same, 6), manifest, precision="bf16")))
    assert "Precision bf16 Trained on" in said


def test_blank_numbers_are_dashes_and_nothing_fails(manifest: Manifest) -> None:
    blank = DEEP | {"test_forget_acc": DROPPED, "membership": None, "cka_layers__penultimate": None, "cost": {}}
    page = render(content_of(with_classes(made_up(cu=blank), 6), manifest))
    row = re.search(r'<tr id="numbers-cu".*?</tr>', page, re.DOTALL)
    assert row
    assert '<td data-key="test_forget_acc" data-value="">–</td>' in row.group()


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"photos": False}, "set figures.photos: true in params.yaml"), ({"queries": 0}, "figures.queries is 0")],
)
def test_a_page_without_photos_needs_no_pixels_and_says_how_to_have_them(
    manifest: Manifest, asked: dict[str, object], says: str
) -> None:
    figures = values_of_params()["figures"] | {"models": []}
    with_photos = page_of(manifest, figures=figures | {"photos": True})
    Path("data/split/test.npy").unlink()  # so that no byte of a photo can come into the page
    without = page_of(manifest, figures=figures | asked)
    assert len(PICTURE.findall(with_photos)) > 10
    assert says not in text_of(with_photos)
    assert PICTURE.findall(without) == []
    assert says in text_of(without)


def test_the_head_says_which_classes_are_pictured(manifest: Manifest) -> None:
    figures = values_of_params()["figures"] | {"models": []}
    shown, withheld, other = Path("shown.html"), Path("withheld.html"), Path("other.html")
    shown.write_text(page_of(manifest, figures=figures | {"photos": True}))
    withheld.write_text(page_of(manifest, figures=figures | {"photos": False}))
    other.write_text("<!doctype html><title>Another page</title>bee")
    assert [shows(shown, ["bee"]), shows(shown, ["a class of another run"])] == [True, False]
    assert [shows(page, manifest.classes) for page in (withheld, other)] == [False, False]
    shown.write_text(re.sub('<meta name="pictured".*', "", shown.read_text()))
    assert shows(shown, ["bee"])  # nobody can say that it has none


def test_names_of_classes_are_text_and_no_markup() -> None:
    assert "<" not in as_script({"</script>": "<!--"})


def test_no_name_of_a_class_can_break_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = manifest_of(["</script><script>alert(1)</script>", "<b>bold</b>", 'a"b', "c", "d", "e"], [0, 1])
    page = page_of(manifest)
    assert "alert(1)</script>" not in page
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_the_files_of_the_models_are_named_by_their_hashes(manifest: Manifest) -> None:
    path = Path("models/cu/0.safetensors")
    save_checkpoint(
        path, Checkpoint(new_header(SHAPE, manifest, "unlearn@cu", {}, "abc of file.pt"), build(SHAPE), None)
    )
    other = Path("models/original/0.safetensors")
    other.parent.mkdir()
    save_file({"weight": torch.ones(2)}, other)  # of another program
    page = page_of(manifest)
    assert sha256_of(path) in page
    assert "unlearn@cu, from abc of file.pt" in page
    assert sha256_of(other) in page
    assert "No file of a model" not in page


def test_parameters_that_differ_are_not_known_without_git(manifest: Manifest) -> None:
    assert "Which parameters differ is not known" in text_of(page_of(manifest))


def test_images_of_each_split_are_counted(manifest: Manifest) -> None:
    said = text_of(page_of(manifest))
    assert "train 160 320 0" in said
    assert "FA, RA 160 and 320 training images: all" in said


def test_the_same_numbers_give_the_same_page(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.page.content.now", lambda: "2026-01-01 00:00 UTC")
    assert page_of(manifest) == page_of(manifest)


def test_twenty_models_and_a_thousand_classes_fit_into_eight_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        "pl", "unsc", "duck", "scar", "scrub", "salun", "rl", "delete", "cola", "cu", "ec", "duck_ec", "cola_ec", "ga",
        "opc", "finetune", "fresh_head",
    ]  # fmt: skip
    manifest = manifest_of([f"a class with a long name, number {label}" for label in range(1000)], list(range(100)), 6)
    models = with_classes(made_up(**dict.fromkeys(names, DEEP)), 1000)
    made = content_of(models, manifest, epochs=182)
    page = render(made)
    assert len(models) == 21
    assert len(made.data["gallery"]["classes"]) > 20
    assert len(page.encode()) < LARGEST


def test_the_library_of_charts_is_the_one_that_is_named() -> None:
    named = (ASSETS / "README.md").read_text(encoding="utf-8")
    assert sha256_of(ASSETS / "plotly-basic.min.js") in named
    assert "</script" not in (ASSETS / "plotly-basic.min.js").read_text(encoding="utf-8")
