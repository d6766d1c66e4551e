"""The gallery: every figure of `bayescam.report`, of phantoms and seeded synthetic values.

    python experiments/gallery.py

Writes `docs/gallery/*.png` and `docs/gallery.md`, which are kept in the repository. Nothing in them
is a result: no network was trained and no patient's image was used.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gallery_values import (
    NAMES,
    heads_compared,
    phantom_case,
    shortcut_examples,
    shortcut_table,
    synthetic_test,
)
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bayescam import report
from bayescam.report import class_colors, figure_style
from bayescam.types import Array
from bayescam.uncertainty import (
    class_at_referral,
    confusion_over_draws,
    coverage_band,
    draws_convergence,
    fit_conformal,
    missed_silently_band,
    predictive_entropy,
    reliability_curve,
    risk_band,
    risk_coverage,
    score_sets,
)

__all__ = ["EXHIBITS", "Exhibit", "draw_exhibit", "main"]

DOCS = Path(__file__).parents[1] / "docs"
DPI = 130
_MM = 25.4


@dataclass(frozen=True)
class Exhibit:
    """One figure of the gallery.

    Attributes:
        name: of its file.
        functions: the functions of `bayescam.report` that draw it.
        caption: what it shows.
        size_mm: width and height.
        draw: what fills the figure.
    """

    name: str
    functions: tuple[str, ...]
    caption: str
    size_mm: tuple[float, float]
    draw: Callable[[Figure], object]


def main(docs: Path) -> list[Path]:
    """Writes all pictures and the page, and returns the paths of the pictures."""
    folder = docs / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for exhibit in EXHIBITS:
        paths.append(folder / f"{exhibit.name}.png")
        paths[-1].write_bytes(_png(draw_exhibit(exhibit)))
    (docs / "gallery.md").write_text(page(), encoding="utf-8")
    return paths


def _png(figure: Figure) -> bytes:
    """Of 256 colours; where there are photographs, dithered so that colour maps have no steps."""
    packed, canvas = io.BytesIO(), FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if not any(image.get_array().ndim == 3 for ax in figure.axes for image in ax.images):
        picture.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        return packed.getvalue()
    palette = picture.quantize(255, kmeans=3)
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    colors[palette.getpixel((0, 0))] = 255  # the paper stays white
    palette.putpalette(colors.ravel().tolist())
    picture.quantize(palette=palette).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def draw_exhibit(exhibit: Exhibit) -> Figure:
    """The figure at its size."""
    width, height = exhibit.size_mm
    with figure_style():
        figure = Figure(figsize=(width / _MM, height / _MM), layout="constrained")
        exhibit.draw(figure)
    return figure


def page() -> str:
    """The text of `gallery.md`."""
    lines = [
        "# Gallery",
        "",
        "Every figure of `bayescam.report`, made by `python experiments/gallery.py` from phantoms "
        "and synthetic values with a fixed seed: no result of a trained network. Each function "
        "takes values and axes and computes nothing; `save_figure(figure, stem, width_mm=..., "
        "height_mm=...)` writes PDF, SVG and PNG.",
    ]
    for exhibit in EXHIBITS:
        functions = ", ".join(f"`{name}`" for name in exhibit.functions)
        picture = f"![{exhibit.caption}](gallery/{exhibit.name}.png)"
        lines += ["", f"{exhibit.caption} {functions}", "", picture]
    return "\n".join(lines) + "\n"


def _densities(figure: Figure) -> None:
    report.draw_class_densities(
        phantom_case().probs, NAMES, ax=figure.subplots(), title="One image, 200 draws"
    )


def _ridges(figure: Figure) -> None:
    test, bins = synthetic_test(), np.linspace(0, 1, 201)
    own, others = (
        [
            np.histogram(test.probs[:, (test.labels == k) == same, k], bins)[0]
            for k in range(len(NAMES))
        ]
        for same in (True, False)
    )
    counts = np.bincount(test.labels, minlength=len(NAMES)).tolist()
    report.draw_ridges(own, others, NAMES, ax=figure.subplots(), counts=counts)


def _panels(figure: Figure) -> None:
    case = phantom_case()
    mean, sd = case.cams.mean(axis=0), case.cams.std(axis=0)
    threshold = 0.5 * float(mean.max())
    report.draw_map_panels(
        case.image,
        mean,
        sd,
        (case.cams > threshold).mean(axis=0),
        axes=list(figure.subplots(1, 4)),
        threshold=threshold,
        target=case.target,
        mask=case.mask,
    )


def _strip(figure: Figure) -> None:
    case = phantom_case()
    k = NAMES.index(case.target)
    chosen = np.argsort(case.probs[:, k])[[10, 60, 100, 140, 190]]
    report.draw_map_strip(
        case.image,
        case.cams[chosen],
        case.probs[chosen, k],
        case.cams.mean(axis=0),
        case.cams.std(axis=0),
        axes=list(figure.subplots(1, 8)),
        target=case.target,
        draws=chosen.tolist(),
        mask=case.mask,
    )


def _overlays(figure: Figure) -> None:
    case = phantom_case()
    report.draw_overlays(
        case.image,
        case.cams.mean(axis=0),
        axes=figure.subplots(2, 3),
        colormaps=("inferno", "viridis"),
    )


def _reliability(figure: Figure) -> None:
    test = synthetic_test()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    curve = reliability_curve(test.mean_probs, test.labels)
    report.draw_reliability(curve, ax=above, title="1,500 images")
    report.draw_bin_counts(curve, ax=below)
    above.set_xlabel("")


def _entropy(figure: Figure) -> None:
    test = synthetic_test()
    report.draw_entropy_histograms(
        predictive_entropy(test.probs),
        test.predicted == test.labels,
        ax=figure.subplots(),
        num_classes=len(NAMES),
    )


def _risk(figure: Figure) -> None:
    test = synthetic_test()
    right = test.predicted == test.labels
    scores = _scores()
    band = risk_band(
        scores["1 - confidence"], right, test.groups, coverage=np.linspace(0.02, 1, 99), seed=0
    )
    references = {"at random": np.zeros(len(right)), "best possible": (~right).astype(float)}
    report.draw_risk_coverage(
        {name: risk_coverage(values, right) for name, values in scores.items()},
        ax=figure.subplots(),
        references={name: risk_coverage(values, right) for name, values in references.items()},
        bands={"1 - confidence": band},
    )


def _missed(figure: Figure) -> None:
    test, k = synthetic_test(), NAMES.index("mel")
    rates = np.linspace(0, 0.6, 121)

    def missed(values: Array) -> Array:
        return class_at_referral(
            values, test.predicted, test.labels, class_index=k, rates=rates.tolist()
        ).missed_silently

    scores = _scores()
    band = missed_silently_band(
        scores["1 - confidence"],
        test.predicted,
        test.labels,
        test.groups,
        class_index=k,
        coverage=np.linspace(0.4, 1, 61),
        seed=0,
    )
    report.draw_missed_silently(
        rates,
        {name: missed(values) for name, values in scores.items()},
        "mel",
        ax=figure.subplots(),
        references={"at random": missed(np.zeros(len(test.labels)))},
        bands={"1 - confidence": band},
    )


def _scores() -> dict[str, Array]:
    test = synthetic_test()
    spread = test.probs.var(axis=0).sum(axis=1)
    return {"1 - confidence": 1 - test.mean_probs.max(axis=1), "epistemic variance": spread}


def _confusion(figure: Figure) -> None:
    test = synthetic_test()
    table = np.zeros((len(NAMES), len(NAMES)), int)
    np.add.at(table, (test.labels, test.predicted), 1)
    report.draw_confusion(table, NAMES, ax=figure.subplots(), title="Counts of the mean")


def _confusion_intervals(figure: Figure) -> None:
    test = synthetic_test()
    report.draw_confusion_intervals(
        confusion_over_draws(test.probs, test.labels),
        NAMES,
        ax=figure.subplots(),
        counts=np.bincount(test.labels, minlength=len(NAMES)).tolist(),
        title="Each draw a classifier, 60 draws",
    )


def _convergence(figure: Figure) -> None:
    case = phantom_case()
    left, right = figure.subplots(1, 2)
    k = NAMES.index("mel")
    mean = draws_convergence(case.probs, "mean_probs", class_index=k)
    color = class_colors(NAMES)["mel"]
    report.draw_convergence(mean, ax=left, label="P(mel)", color=color, title="a  mean probability")
    information = draws_convergence(case.probs, "mutual_information")
    label = "mutual information (nats)"
    report.draw_convergence(information, ax=right, label=label, title="b  mutual information")


def _comparison(figure: Figure) -> None:
    columns, differences = heads_compared()
    above, below = figure.subplots(2, 3, height_ratios=(5, 4))
    report.draw_posterior_comparison(columns, axes=list(above), reference="dense")
    report.draw_posterior_comparison(
        differences, axes=list(below), differences=True, reference="dense"
    )


def _sets(figure: Figure) -> None:
    test, left_right = synthetic_test(), figure.subplots(1, 2)
    half, mean, labels = len(test.labels) // 2, test.mean_probs, test.labels
    fitted = {
        "LAC, one threshold": fit_conformal(mean[:half], labels[:half]),
        "LAC, one per class": fit_conformal(mean[:half], labels[:half], class_conditional=True),
    }
    sets = {name: predictor.sets(mean[half:]) for name, predictor in fitted.items()}
    shares = {
        name: np.bincount(found.sum(axis=1), minlength=len(NAMES) + 1) / len(found)
        for name, found in sets.items()
    }
    coverage = {
        name: [part.coverage for part in score_sets(found, labels[half:]).by_class]
        for name, found in sets.items()
    }
    behind, tested = (np.bincount(part, minlength=len(NAMES)) for part in np.split(labels, [half]))
    bands = [
        coverage_band(n, m, alpha=0.1)
        for n, m in zip(behind.tolist(), tested.tolist(), strict=True)
    ]
    report.draw_set_sizes(shares, ax=left_right[0], title="a  sizes")
    report.draw_class_coverage(
        coverage, bands, NAMES, ax=left_right[1], promised=0.9, title="b  coverage by class"
    )


def _shortcut_scores(figure: Figure) -> None:
    tables = [shortcut_table(seed) for seed in (0, 1, 2)]
    report.draw_shortcut_scores(tables, ax=figure.subplots(), groups="lesions")


def _shortcut_examples(figure: Figure) -> None:
    examples = shortcut_examples(2)
    rows: Sequence[Sequence[Axes]] = figure.subplots(2, 3)
    for number, axes in enumerate(rows):
        report.draw_shortcut_example(examples, number, axes=list(axes), planted_class="mel")
    for ax, title in zip(rows[0], ("image", "trained with rulers", "without"), strict=True):
        ax.set_title(title)


EXHIBITS = (
    Exhibit(
        "densities",
        ("draw_class_densities",),
        "How probable the draws say each class of one image is.",
        (130, 70),
        _densities,
    ),
    Exhibit(
        "map_panels",
        ("draw_map_panels",),
        "Where a class is seen in one image, how sure that is, and where it is probable.",
        (178, 46),
        _panels,
    ),
    Exhibit(
        "map_strip",
        ("draw_map_strip",),
        "The maps of single draws, each with the probability of the same draw.",
        (178, 34),
        _strip,
    ),
    Exhibit(
        "overlays",
        ("draw_overlays",),
        "Heat map and overlay in any colour map, pixel for pixel (`overlay_figure`).",
        (120, 64),
        _overlays,
    ),
    Exhibit(
        "convergence",
        ("draw_convergence",),
        "An estimate by the number of draws, and how many draws are enough.",
        (178, 78),
        _convergence,
    ),
    Exhibit(
        "ridges",
        ("draw_ridges",),
        "The probability of each class over all draws, for its own images and the others.",
        (120, 100),
        _ridges,
    ),
    Exhibit(
        "reliability",
        ("draw_reliability", "draw_bin_counts"),
        "Accuracy against confidence, and how many images each bin has.",
        (88, 105),
        _reliability,
    ),
    Exhibit(
        "risk_coverage",
        ("draw_risk_coverage",),
        "Error rate among the images kept when the least sure ones go to a reader.",
        (120, 95),
        _risk,
    ),
    Exhibit(
        "missed_silently",
        ("draw_missed_silently",),
        "Images of one class that are kept and called something else.",
        (120, 95),
        _missed,
    ),
    Exhibit(
        "entropy",
        ("draw_entropy_histograms",),
        "Predictive entropy of right and of wrong images.",
        (100, 65),
        _entropy,
    ),
    Exhibit(
        "confusion",
        ("draw_confusion",),
        "The confusion table of the mean probabilities.",
        (120, 95),
        _confusion,
    ),
    Exhibit(
        "confusion_intervals",
        ("draw_confusion_intervals",),
        "The confusion table with an interval over draws, or resampled groups, in every cell.",
        (150, 118),
        _confusion_intervals,
    ),
    Exhibit(
        "posterior_comparison",
        ("draw_posterior_comparison",),
        "Heads by scores, and paired differences; a dot is hollow where the interval holds zero.",
        (178, 90),
        _comparison,
    ),
    Exhibit(
        "conformal_sets",
        ("draw_set_sizes", "draw_class_coverage"),
        "How many classes conformal sets hold, and how often the right one is among them.",
        (178, 85),
        _sets,
    ),
    Exhibit(
        "shortcut_scores",
        ("draw_shortcut_scores",),
        "A model that found a planted shortcut beside one that could not, three seeds.",
        (130, 85),
        _shortcut_scores,
    ),
    Exhibit(
        "shortcut_examples",
        ("draw_shortcut_example",),
        "Where both models look, and what the planted ruler does to the probability.",
        (120, 68),
        _shortcut_examples,
    ),
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of gallery.md")
    for written in main(parser.parse_args().docs):
        print(f"{written.name:28}{written.stat().st_size / 1000:6.1f} kB")
