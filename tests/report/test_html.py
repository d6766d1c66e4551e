from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bayescam.report import (
    CaseMaps,
    CaseReport,
    MapSummary,
    ReportFigure,
    build_case,
    encode_figure,
    render_report,
)
from bayescam.types import InputError, UncertaintyDecomposition

NAMES = ("bkl", "mel", "nv")
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def case(image_id: str, entropy: float = 0.5, **options) -> CaseReport:
    values = {
        "class_names": NAMES,
        "mean_probs": np.array([0.1, 0.6, 0.3]),
        "lower": np.array([0.05, 0.4, 0.1]),
        "upper": np.array([0.2, 0.8, 0.5]),
        "expected_entropy": 0.4,
        "mutual_information": entropy - 0.4,
        "num_samples": 100,
        "density_png": DOT,
    }
    return CaseReport(image_id=image_id, predictive_entropy=entropy, **(values | options))


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
        if tag not in {"meta", "img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag in {"meta", "img", "input"}:
            return
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def shown(text: str) -> list[str | None]:
    return [a["data-id"] for a in Page(text).all("article")]


def test_most_uncertain_first_and_equals_by_name() -> None:
    cases = [case("b", 0.7), case("a", 0.7), case("c", 1.0), case("d", 0.41)]
    assert shown(render_report(cases, title="t", num_images=9)) == ["c", "a", "b", "d"]


def test_page_is_self_contained() -> None:
    maps = (CaseMaps("mel", ("original", "relu(mean map) for mel"), (DOT, DOT)),)
    text = render_report([case("a", maps=maps)], title="t", num_images=1)
    page = Page(text)
    assert not page.all("link")
    assert not page.all("iframe")
    assert all("src" not in attrs for attrs in page.all("script"))
    sources = [attrs["src"] or "" for attrs in page.all("img")]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert base64.b64decode(sources[0].split(",")[1]) == DOT
    assert "http" not in re.sub(r"http-equiv", "", text)
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:")


def test_every_image_says_what_it_shows() -> None:
    maps = (CaseMaps("mel", ("original", "P(map > 0.1)"), (DOT, DOT)),)
    figure = ReportFigure("Reliability", DOT, "Accuracy against confidence.")
    page = Page(render_report([case("x", maps=maps)], title="t", num_images=1, figures=[figure]))
    texts = [attrs["alt"] or "" for attrs in page.all("img")]
    assert texts[0] == "Reliability. Accuracy against confidence."
    assert texts[1].startswith("Density of the class probabilities of x over 100 draws")
    assert texts[2:] == ["original, x, class mel", "P(map > 0.1), x, class mel"]


def test_facts_of_a_case_are_written() -> None:
    one = case("x", 0.5, label="nv", flags=("referred",), details={"site": "back"}, level=0.9)
    text = render_report([one], title="t", num_images=1)
    assert "predicted <b>mel</b> at 0.60, label <b>nv</b>" in text
    assert '<span class="flag wrong">wrong</span>' in text
    assert '<span class="flag">referred</span>' in text
    assert "0.400 to 0.800" in text
    assert "90 % interval" in text
    assert "<dt>total uncertainty</dt><dd>0.500 nats</dd>" in text
    assert "<dt>between draws</dt><dd>0.100 nats</dd>" in text
    assert "<dt>site</dt><dd>back</dd>" in text


@pytest.mark.parametrize(
    ("label", "wrong", "data"), [("nv", 1, "1"), ("mel", 0, "0"), (None, 0, "")]
)
def test_wrong_only_when_a_known_label_differs(label: str | None, wrong: int, data: str) -> None:
    text = render_report([case("x", label=label)], title="t", num_images=1)
    assert text.count('class="flag wrong"') == wrong
    assert Page(text).all("article")[0]["data-wrong"] == data


def test_what_comes_from_data_is_escaped() -> None:
    evil = '<script>alert("1")</script>'
    text = render_report(
        [case(evil, details={evil: evil}, flags=(evil,), label=evil)],
        title=evil,
        num_images=1,
        skipped=[("x", evil)],
        facts={evil: evil},
        notes=[evil],
        summary_tables={evil: pd.DataFrame({evil: [evil]})},
        figures=[ReportFigure(evil, DOT, evil)],
    )
    assert "<script>alert" not in text
    assert len(Page(text).all("script")) == 1
    assert shown(text) == [evil]


def test_skipped_images_are_counted_and_named_without_their_folders() -> None:
    text = render_report(
        [],
        title="t",
        num_images=12345,
        skipped=[
            ("/data/Smith, John/scan 1/x.jpg", "/data/Smith, John/scan 1/x.jpg: truncated"),
            (r"D:\Doe\y.png", r"cannot read D:\Doe\y.png"),
            ("z.dcm", "cannot open /home/jane/z.dcm"),
        ],
    )
    assert "12,345 images analysed" in text
    assert "<b>3 skipped</b>" in text
    assert "<tr><td>x.jpg</td><td>x.jpg: truncated</td></tr>" in text
    assert "<tr><td>y.png</td><td>cannot read y.png</td></tr>" in text
    assert "<tr><td>z.dcm</td><td>cannot open z.dcm</td></tr>" in text
    assert not re.search("Smith|John|Doe|jane", text)
    assert "There are no cases to show." in text


def test_header_says_how_many_of_how_many_and_that_it_is_no_device() -> None:
    text = render_report([case("a")], title="Skin", num_images=3, facts={"seed": "7"})
    assert "3 images analysed.\nThe page shows 1 of them" in text
    assert "None skipped" in text
    assert "not a medical device" in text
    assert "<dt>seed</dt><dd>7</dd>" in text
    assert "<title>Skin</title>" in text
    assert "How to read this page" in text


def test_tables_keep_their_numbers() -> None:
    scores = pd.DataFrame(
        {"flipout": ["0.8 [0.7, 0.9]"], "note": ["few, or none"]},
        index=pd.Index(["ECE"], name="score"),
    )
    text = render_report([], title="t", num_images=0, summary_tables={"Scores": scores})
    assert (
        '<th scope="row">ECE</th><td>0.8 [0.7,\N{NO-BREAK SPACE}0.9]</td><td>few, or none</td>'
        in text
    )


@pytest.mark.parametrize("name", ["path", "mask_path", "Patient_ID", "group"])
def test_private_columns_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="must not hold paths or patient identifiers"):
        case("x", details={name: "7"})


@pytest.mark.parametrize("value", ["/home/jane/x.jpg", r"C:\scans\x.png", "~/x.jpg", "a/b/c.jpg"])
def test_paths_are_refused_under_any_name(value: str) -> None:
    with pytest.raises(InputError, match="got 'file'"):
        case("x", details={"file": value})


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="`num_images` counts all analysed images; got 1 for 2"):
        render_report([case("a"), case("b")], title="t", num_images=1)
    with pytest.raises(InputError, match="'a' comes twice"):
        render_report([case("a"), case("a")], title="t", num_images=2)


def test_build_case_takes_its_facts_from_the_draws_and_stays_small() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1.0, 5.0, 2.0], size=100)
    picture = rng.normal(128, 10, size=(150, 200, 3)).clip(0, 255)
    cam = rng.normal(size=(9, 12))
    built = build_case(
        "ISIC_1",
        picture,
        probs,
        NAMES,
        entropies=UncertaintyDecomposition(*(np.array([value]) for value in (0.9, 0.8, 0.1))),
        maps=[MapSummary("mel", cam, np.abs(cam), (cam > 0).astype(float), 0.5)],
        label="nv",
        level=0.8,
    )
    np.testing.assert_allclose(built.mean_probs, probs.mean(axis=0))
    np.testing.assert_allclose(built.lower, np.quantile(probs, 0.1, axis=0))
    np.testing.assert_allclose(built.upper, np.quantile(probs, 0.9, axis=0))
    assert (built.predicted, built.wrong, built.num_samples) == ("mel", True, 100)
    assert (built.predictive_entropy, built.mutual_information) == (0.9, 0.1)
    assert built.maps[0].titles[1:] == (
        "relu(mean map) for mel",
        "uncertainty of the map (sd)",
        "P(map > 0.5)",
    )
    sizes = [Image.open(io.BytesIO(panel)).size for panel in built.maps[0].panels]
    assert len(set(sizes)) == 1
    assert len(sizes) == 4
    assert len(render_report([built], title="t", num_images=1)) < 200_000
    with pytest.raises(InputError, match="`entropies` must be of one image"):
        build_case(
            "x", picture, probs, NAMES, entropies=UncertaintyDecomposition(*[np.zeros(2)] * 3)
        )


def test_encoded_figures_open_again_at_the_size_asked_for() -> None:
    figure = Figure(figsize=(2, 1), facecolor="#ff0000")
    png = Image.open(io.BytesIO(encode_figure(figure, dpi=50)))
    jpeg = Image.open(io.BytesIO(encode_figure(figure, kind="jpeg", dpi=100)))
    assert (png.format, png.size, png.convert("RGB").getpixel((3, 3))) == (
        "PNG",
        (100, 50),
        (255, 0, 0),
    )
    assert (jpeg.format, jpeg.size) == ("JPEG", (200, 100))
