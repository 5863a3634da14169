"""The page in a real browser, from disk: what it asks for, what it says, and whether everybody can use it."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.build import content_of, manifest_of, with_classes
from tests.page.models import DEEP, HEAD_ONLY, made_up
from unlearning.page.render import render

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing (Debian: apt-get install chromium)")
api = pytest.importorskip("playwright.sync_api", reason="playwright is missing (pip install -e '.[dev]')")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing (pip install -e '.[dev]')")
PHONE, TABLET, DESK = 390, 820, 1440  # px
SHEET, ACROSS = 695, 1024  # px: what the margins leave of A4, upright and across
PATIENCE = 120_000  # ms: machines that run tests are busy
FAST = {"resultTypes": ["violations"], "preload": False}  # for axe: nothing is listed that passes, nothing fetched
SHEETS = 9  # of a made-up run of six models
WIDTH_IN_THE_END = """async (wanted) => {  // charts follow the window, a moment later
    const width = () => document.documentElement.scrollWidth;
    for (let turn = 0; turn < 200 && width() > wanted; turn++) await new Promise((done) => setTimeout(done, 50));
    return width();
}"""
CLASSES = ["ant", "bee", "</script><b>cat</b>", "dog", "elk", "fox"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page and the metrics that it is of."""
    path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        models = made_up(cu=DEEP, ec=DEEP | {"forget_acc": [0.0, 4.0, 8.0]}, fresh_head=HEAD_ONLY)
        manifest = manifest_of(CLASSES, [1, 4])
        text = render(content_of(with_classes(models, len(CLASSES)), manifest))
        Path("report.html").write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator["api.Browser"]:
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Seen:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, browser: "api.Browser", address: str) -> None:
        self.page = browser.new_page(viewport={"width": DESK, "height": 900}, color_scheme="light")
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)


@pytest.fixture(scope="module")
def seen(browser: "api.Browser", folder: Path) -> Seen:
    return Seen(browser, (folder / "report.html").as_uri())


@pytest.fixture
def page(seen: Seen) -> Iterator["api.Page"]:
    """The page as a desk's reader has it; what a test looks at otherwise is undone."""
    yield seen.page
    seen.page.emulate_media(media="null")
    look(seen.page, DESK, "light")


def look(page: "api.Page", width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)


def column(page: "api.Page", table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({number})").all_inner_texts()


def test_nothing_leaves_the_page_and_nothing_is_complained_of(seen: Seen) -> None:
    charts = seen.page.locator(".chart")
    assert charts.count() >= 3 + 1 + 3 + 3  # curves, harm, maps, training
    for place in range(charts.count()):
        charts.nth(place).scroll_into_view_if_needed()
        charts.nth(place).locator(".main-svg").first.wait_for()
    own = [url for url in seen.asked if url.startswith("file:") and url.endswith("/report.html")]
    assert own == [url for url in seen.asked if not url.startswith("data:")]
    assert len(own) == 1
    assert seen.complaints == []


def test_every_row_of_the_metrics_is_there_with_the_same_numbers(page: "api.Page", folder: Path) -> None:
    cells = page.evaluate(
        "[...document.querySelectorAll('#table-numbers td, #table-attacks td')].map("
        "cell => [cell.parentElement.dataset.model, cell.dataset.key, cell.dataset.value])"
    )
    shown = {(model, key): float(value) for model, key, value in cells if value}
    paths = sorted((folder / "metrics/models").glob("*.json"))
    assert [path.stem for path in paths] == sorted(made_up(cu={}, ec={}, fresh_head={}))
    for path in paths:
        for key, value in json.loads(path.read_text()).items():
            assert shown[path.stem, key] == value, (path.stem, key)


def test_a_click_on_a_column_sorts_by_number_and_the_next_one_turns_it_round(page: "api.Page") -> None:
    heading = page.locator("#table-numbers thead th", has_text="TRA ↑")
    number = heading.evaluate("cell => cell.cellIndex") + 1
    heading.locator("button").click()
    values = [float(text.split()[0]) for text in column(page, "table-numbers", number)]
    assert values == sorted(values)
    assert len(set(values)) > 1
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    values = [float(text.split()[0]) for text in column(page, "table-numbers", number)]
    assert values == sorted(values, reverse=True)
    assert page.locator("#table-numbers [aria-sort]").count() == 1


def test_a_column_says_what_it_means_when_pointed_at(page: "api.Page") -> None:
    page.locator("#table-numbers th", has_text="IDI abs").hover()
    tip = page.locator("#tip")
    assert "Information" in tip.inner_text() or "IDI" in tip.inner_text()
    assert "Direction:" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_each_word_leads_to_its_numbers(page: "api.Page") -> None:
    links = page.locator(".verdicts a, .answers a, .more a").evaluate_all("all => all.map(one => one.hash.slice(1))")
    assert len(links) > 30
    assert [link for link in links if page.locator(f"[id='{link}']").count() != 1] == []
    folded = page.locator("details.evidence", has=page.locator("#original-features"))
    assert folded.get_attribute("open") is None
    page.locator(".verdicts a[href='#original-features']").click()
    page.wait_for_function("document.getElementById('original-features').closest('details').open")
    assert "as in the original" in page.locator("#original-features").inner_text()


def test_two_models_stand_side_by_side(page: "api.Page") -> None:
    page.select_option("#first", "original")
    page.select_option("#second", "cu")
    row = page.locator("#side-by-side tr", has=page.get_by_text("CKA ↓", exact=True))
    assert row.locator("td").all_inner_texts()[2:] == ["0.0 ± 0.0", "equal"]
    row = page.locator("#side-by-side tr", has=page.get_by_text("FA ↓", exact=True)).first
    assert row.locator("td").all_inner_texts() == ["99.5 ± 0.0", "0.0 ± 0.0", "-99.5 ± 0.0", "each time"]


def test_the_reader_finds_a_class_and_what_it_lost(page: "api.Page") -> None:
    page.fill("#find-class", "CAT")
    assert column(page, "harm-table", 1) == ["</script><b>cat</b>"]
    before, after, lost = (float(text) for text in page.locator("#harm-table td").all_inner_texts()[1:])
    assert lost == pytest.approx(before - after, abs=0.11)
    page.fill("#find-class", "")
    assert len(column(page, "harm-table", 1)) == len(CLASSES)


def test_the_reader_chooses_a_class_and_sees_its_pictures(page: "api.Page") -> None:
    page.select_option("#pictured", "elk")
    assert page.locator("#nearest .picture.query").first.inner_text() == "asked: elk"
    sizes = page.locator("#nearest img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert set(sizes) == {8}


def test_the_reader_chooses_which_models_are_drawn(page: "api.Page") -> None:
    page.locator("#charts .chart").nth(1).scroll_into_view_if_needed()
    page.locator("#charts .chart").nth(1).locator(".main-svg").first.wait_for()
    count = "document.querySelectorAll('#charts .chart')[1].data.length"
    before = page.evaluate(count)
    page.get_by_label("cu", exact=True).uncheck()
    assert page.evaluate(count) == before - 1


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_it_passes_the_check_of_accessibility(page: "api.Page", width: int, scheme: str) -> None:
    look(page, width, scheme)
    drawn = "document.querySelectorAll('.chart > *').forEach(one => { one.style.display = '%s'; })"
    page.evaluate(drawn % "none")  # pictures to a reader, and thousands of parts to the check
    found = axe.Axe().run(page, options=FAST).response["violations"]
    page.evaluate(drawn % "")
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_it_fits_its_window(page: "api.Page", width: int) -> None:
    look(page, width, "light")
    assert page.evaluate(WIDTH_IN_THE_END, width) <= width


def test_it_prints_to_a_few_sheets_in_light_colours(page: "api.Page", folder: Path) -> None:
    page.goto((folder / "report.html").as_uri())  # anew: what earlier tests have unfolded would be printed too
    look(page, DESK, "dark")
    printed = page.pdf(prefer_css_page_size=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= SHEETS


def test_in_print_charts_are_as_wide_as_the_sheet_and_nothing_is_wider(page: "api.Page") -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": SHEET, "height": 900})
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = page.locator("#charts .main-svg:first-child").evaluate_all("all => all.map(one => one.clientWidth)")
    wider = page.evaluate(f"""[...document.querySelectorAll("main > section:not(.wide)")]
        .filter(one => one.checkVisibility() && one.scrollWidth > {SHEET}).map(one => one.id)""")
    across = page.evaluate("document.documentElement.scrollWidth")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert len(widths) >= 3
    assert all(0.95 * SHEET < width < SHEET for width in widths)
    assert wider == []  # a browser makes all sheets smaller until the widest part fits
    assert across <= ACROSS
