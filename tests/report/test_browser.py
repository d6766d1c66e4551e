"""The report in a real browser, opened from disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bayescam.report import CaseList, case_content, upsample_map
from bayescam.report.packing import unpack
from tests.report.report_cases import EVIL, NAMES, evil_page, make_case, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser) -> Iterator[object]:
    tab = browser.new_page()
    tab.problems = []
    tab.on("console", lambda message: tab.problems.append(message.text))
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.on("dialog", lambda dialog: tab.problems.append(dialog.message))
    yield tab
    read_by_test = "willReadFrequently"
    assert [problem for problem in tab.problems if read_by_test not in problem] == []
    tab.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = [
        make_case(
            f"image-{seed}",
            seed=seed,
            label=NAMES[seed % 3],
            referred=seed % 2 == 0,
            decisions=("Referred: why",),
            details={"sex": "female" if seed < 2 else "male"},
        )
        for seed in range(5)
    ]
    lists = [CaseList("Most uncertain", "Largest entropy.", (0, 1)), CaseList("Wrong", "", (3,))]
    return write_report(tmp_path_factory.mktemp("report"), cases, lists=lists)


def ids(tab) -> list[str]:
    return tab.locator("#cards .id").all_inner_texts()


def test_lists_lead_to_cases_and_filters_narrow_them(tab, report: Path) -> None:
    tab.goto(report.as_uri())
    assert tab.locator("#lists h3").all_inner_texts() == ["Most uncertain", "Wrong"]
    assert tab.locator("#lists .id").all_inner_texts() == ["image-0", "image-1", "image-3"]
    tab.click("text=Cases >> nth=0")
    assert ids(tab) == [f"image-{seed}" for seed in range(5)]
    tab.select_option("#order", "between -1")
    assert ids(tab) == [f"image-{seed}" for seed in (4, 3, 2, 1, 0)]
    tab.select_option("#only", "right")  # all are called mel
    assert ids(tab) == ["image-4", "image-1"]
    tab.select_option("#verdict", "refer")
    assert ids(tab) == ["image-4"]
    tab.select_option("#verdict", "")
    tab.select_option("#only", "")
    tab.select_option("[data-detail=sex]", "female")
    assert ids(tab) == ["image-1", "image-0"]
    tab.select_option("#list", "0")
    tab.fill("#search", "GE-1")
    assert ids(tab) == ["image-1"]
    assert tab.locator("#shown").inner_text() == "1 of 5 cases"
    tab.click("#cards .card")
    assert tab.locator("#view-case h1").inner_text() == "image-1"


def test_the_slider_moves_the_density_marker_and_the_map_together(tab, report: Path) -> None:
    tab.goto(report.as_uri() + "#case=2")
    content = case_content(make_case("image-2", seed=2))
    tab.wait_for_selector(".markers", state="attached")
    assert tab.locator(".markers polygon").count() == 0
    assert tab.locator(".words p").all_inner_texts() == content["words"]
    for draw in (7, 31):
        tab.fill("#draw", str(draw))
        assert tab.locator("th.now, th:last-child").inner_text() == f"draw {draw + 1}"
        probs = unpack(content["probs"])[draw]
        for k, (name, prob) in enumerate(zip(NAMES, probs, strict=True)):
            assert tab.locator(f"[data-class='{k}']").inner_text() == f"{prob:.3f}", name
        marks = [
            float(x)
            for x in tab.eval_on_selector_all(
                ".markers line", "a => a.map(n => n.getAttribute('x1'))"
            )
        ]
        shown = np.sort([(mark - 14) / (520 - 14 - 10) for mark in marks])
        np.testing.assert_allclose(shown, np.sort(probs), atol=1e-6)
        cam = np.maximum(unpack(content["maps"][0]["draws"])[draw], 0)
        alpha = np.array(
            tab.evaluate(
                "() => { const c = document.querySelector('.left canvas');"
                "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
                ".filter((_, i) => i % 4 === 3); }"
            )
        )
        largest = content["maps"][0]["draws"]["max"]
        expected = upsample_map(cam, (60, 80)).ravel() / largest * 0.7 * 255
        np.testing.assert_allclose(alpha, expected, atol=1.01)
    tab.fill("#opacity", "0")
    blank = (
        "c => c.getContext('2d').getImageData(0, 0, 80, 60).data.every((v, i) => i % 4 < 3 || !v)"
    )
    assert tab.eval_on_selector(".left canvas", blank)
    tab.click("button[data-layer=contrast] >> nth=0")
    assert tab.locator(".caption").inner_text() == "mean map of mel - nv"
    assert tab.locator(".markers polygon").count() == 0


def test_everything_can_be_done_with_keys(tab, report: Path) -> None:
    tab.goto(report.as_uri())
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"
    tab.keyboard.type("image-3")
    assert ids(tab) == ["image-3"]
    tab.fill("#search", "")
    tab.locator("#cards .card").nth(2).focus()
    tab.keyboard.press("Enter")
    heading = tab.locator("#view-case h1")
    assert heading.inner_text() == "image-2"
    assert tab.evaluate("[document.activeElement.id, scrollY]") == ["view-case", 0]
    tab.keyboard.press("j")
    tab.wait_for_selector("h1 bdi:text-is('image-3')")
    tab.keyboard.press("k")
    tab.wait_for_selector("h1 bdi:text-is('image-2')")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".caption").inner_text() == "relu(map) for mel, draw 1"
    tab.click("#outlined")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#draw").input_value() == "1"
    assert tab.locator(".caption").inner_text() == "relu(map) for mel, draw 2"
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#cards", state="visible")
    assert tab.evaluate("document.activeElement.dataset.case") == "2"


def test_a_phone_is_wide_enough_and_dark_is_dark(tab, report: Path) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    for view in ("", "#cases", "#case=0", "#about"):
        tab.goto(report.as_uri() + view)
        tab.wait_for_timeout(100)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light == "rgb(243, 245, 248)"
    assert dark == "rgb(18, 22, 28)"
    tab.click("#theme")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_hostile_text_stays_text(tab, tmp_path: Path) -> None:
    path = evil_page(tmp_path)
    for number, text in enumerate(EVIL):
        tab.goto(f"{path.as_uri()}#case={number}")
        tab.reload()
        tab.wait_for_selector(".words")
        shown = tab.locator("#view-case h1").inner_text()
        assert shown.startswith(text[:1])
        assert "\u202e" not in tab.content()
        assert tab.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    tab.goto(f"{path.as_uri()}#cases")
    assert len(ids(tab)) == len(EVIL)
    assert tab.url.startswith(path.as_uri())


def test_a_case_that_is_missing_is_said_so(tab, report: Path, tmp_path: Path) -> None:
    shutil.copytree(report.parent, tmp_path / "copy")
    (tmp_path / "copy" / "cases" / "1.js").unlink()
    tab.goto((tmp_path / "copy" / "index.html").as_uri() + "#case=1")
    tab.wait_for_selector("#view-case .warning")
    assert tab.locator("#view-case .warning").inner_text() == "Case 1 is missing from this report."
    tab.problems = [problem for problem in tab.problems if "ERR_FILE_NOT_FOUND" not in problem]
