from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from bayescam.report import CaseList, ReportFigure, case_content, page_files, single_file
from bayescam.types import InputError
from tests.report.report_cases import EVIL, evil_page, make_case, make_page

VOID = {"meta", "img", "input", "link"}


class Page(HTMLParser):
    """Collects tags, and complains about a tag that is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def index_of(text: str) -> dict:
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def test_the_folder_links_its_own_files_and_no_other() -> None:
    files = page_files(make_page([make_case()]))
    page = Page(files["index.html"])
    links = [a["href"] for a in page.all("link") if a["rel"] != "icon"] + [
        a["src"] for a in page.all("script")
    ]
    assert set(links) == set(files) - {"index.html"}
    for text in files.values():
        assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", text)
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_the_single_file_needs_no_other() -> None:
    case = make_case(picture="data:image/png;base64,AA", thumbnail="data:image/png;base64,BB")
    text = single_file(make_page([case]), [case_content(case)])
    page = Page(text)
    assert [a["href"] for a in page.all("link")] == ["data:,"]
    assert all("src" not in attrs for attrs in page.all("script"))
    assert "Bayescam.receiveCase(0, {" in text
    assert "images/0.jpg" not in text


def test_the_index_has_rows_lists_and_colours() -> None:
    cases = [make_case("b", label="nv", remarks=("unstable map",)), make_case("a", seed=1)]
    lists = [CaseList("Most uncertain", "Largest entropy.", (1, 0))]
    index = index_of(page_files(make_page(cases, lists=lists))["data/index.js"])
    assert [row["id"] for row in index["rows"]] == ["b", "a"]
    assert [row["wrong"] for row in index["rows"]] == [True, None]
    assert index["rows"][0]["remarks"] == ["unstable map"]
    assert index["lists"][0]["cases"] == [1, 0]
    assert index["colors"][2] == "#0072B2"  # nevus, as in the figures
    assert {len(colors) for colors in index["colormaps"].values()} == {256 * 3 * 4 // 3}


def test_what_comes_from_data_is_escaped(tmp_path: Path) -> None:
    path = evil_page(tmp_path)
    page = Page(path.read_text())
    assert len(page.all("script")) == 2
    assert [a for a in page.all("img") if "onerror" in a] == []
    for file in [path, *path.parent.glob("*/*.js")]:
        text = file.read_text()
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "x" * 1001 not in text
    scripts = [*path.parent.glob("cases/*.js"), path.parent / "data" / "index.js"]
    assert not any(re.search("[<>&]", file.read_text()) for file in scripts)
    assert index_of(scripts[-1].read_text())["rows"][0]["id"] == EVIL[0]


def test_skipped_images_are_counted_and_named_without_their_folders() -> None:
    skipped = [
        ("/data/Smith, John/scan 1/x.jpg", "/data/Smith, John/scan 1/x.jpg: truncated"),
        (r"D:\Doe\y.png", r"cannot read D:\Doe\y.png"),
        ("z.dcm", "cannot open /home/jane/z.dcm"),
    ]
    text = page_files(make_page([], num_images=12345, skipped=skipped))["index.html"]
    assert "12,345 images analysed" in text
    assert "<b>3 skipped</b>" in text
    for name, reason in (("x.jpg", "x.jpg: truncated"), ("y.png", "cannot read y.png")):
        assert f'<th scope="row">{name}</th><td>{reason}</td>' in text
    assert "cannot open z.dcm" in text
    assert not re.search("Smith|John|Doe|jane", text)


def test_the_front_page_says_what_it_is_of() -> None:
    scores = pd.DataFrame({"flipout": ["0.8 [0.7, 0.9]"]}, index=pd.Index(["ECE"], name="score"))
    text = page_files(
        make_page(
            [make_case()],
            num_images=3,
            headline={"Scores": scores},
            card={"Data": {"kind": "ham10000"}},
            audit=["Leaked val images: 0 of 3"],
            facts={"seed": "7"},
            notes=["n < 5"],
            figures=[ReportFigure("Reliability", "Accuracy.", "figures/reliability.png")],
        )
    )["index.html"]
    assert "3 images analysed, of which this report holds 1; 40 draws each." in text
    assert '<th scope="row">ECE</th><td>0.8 [0.7,\N{NO-BREAK SPACE}0.9]</td>' in text
    assert "<dt>kind</dt><dd>ham10000</dd>" in text
    assert "Leaked val images: 0 of 3" in text
    assert "<dt>seed</dt><dd>7</dd>" in text
    assert "<li>n &lt; 5</li>" in text
    assert '<img src="figures/reliability.png" alt="Reliability. Accuracy."' in text
    assert "not a medical device" in text


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`num_images` counts all analysed images; got 1 for 2"):
        make_page([make_case("a"), make_case("b")], num_images=1)
    with pytest.raises(InputError, match="'x' names a case that is not in `rows`"):
        make_page([make_case("a")], lists=[CaseList("x", "", (1,))])
