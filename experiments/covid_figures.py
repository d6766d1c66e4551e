"""Figures of `covid_xray.py`: the article's maps at the size of the X-ray, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tf_keras
from covid_article import METHODS
from covid_data import VIEWS, Images
from covid_pooling import Interval
from covid_tables import AREA, AUC, DRAWS, OWN_AUC
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import softmax

import bayescam as bc
from bayescam.data import load_image, resize_image
from bayescam.explain import class_maps, energy_in_masks, positive_evidence
from bayescam.report import color_overlay, figure_style, overlay_figure
from bayescam.types import Array
from bayescam.uncertainty import credible_interval

COLORS = {"as published": "#E8740C", "corrected": "#0072B2"}


def explain_files(
    model: tf_keras.Model,
    paths: Sequence[str],
    folder: Path,
    *,
    num_samples: int = 100,
    target_layer: str | None = None,
) -> list[str]:
    """Writes original | heat map | overlay of each image and variant of Grad-CAM.

    The map is `relu(mean map)` of the class with the largest mean probability.

    Returns:
        For each image a line in the article's way: its class and its probabilities. Where the model
        has draws, the credible interval of the probability of the class comes after it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) < len(stems):
        stems = [f"{place}-{stem}" for place, stem in enumerate(stems, start=1)]
    pictures = [load_image(path) for path in paths]
    inputs = np.stack([resize_image(picture, model.input_shape[1:3]) for picture in pictures])
    number = num_samples if bc.draw_posterior(model, 1).split.stochastic else 1
    lines: list[str] = []
    for method, title in METHODS.items():
        draws = bc.analyze(
            model, inputs, num_samples=number, method=method, target_layer=target_layer
        )
        classes = [str(name) for name in draws["class"].to_numpy()]
        probs = softmax(draws["logits"].to_numpy().astype(np.float64), axis=-1)
        mean = probs.mean(axis=0)
        maps = draws["cam"].to_numpy()
        cams = maps.mean(axis=0)
        shown = positive_evidence(cams, maps.std(axis=0), number)
        lines = [said(probs[:, i], path) for i, path in enumerate(paths)]
        for i, picture in enumerate(pictures):
            k = int(mean[i].argmax())
            evidence = "" if shown[i, k] else ", no positive evidence"
            figure = overlay_figure(
                picture,
                cams[i, k],
                colormaps=("hot", "jet", "viridis"),  # those of the article
                title=f"{title}: {classes[k]} {mean[i, k]:.3f}{evidence}",
            )
            figure.savefig(folder / f"{stems[i]}, {method}.png")
    return lines


def said(probs: Array, path: str) -> str:
    """The class and the probabilities of draws (S, K), as `0 [[0.917 0.065 0.017]] name`."""
    mean = probs.mean(axis=0)
    k = int(mean.argmax())
    line = f"{k} {np.array2string(mean[np.newaxis], precision=3, suppress_small=True)}"
    if len(probs) > 1:
        interval = credible_interval(probs[:, k])
        line += f" [{interval.lower:.3f}, {interval.upper:.3f}]"
    return f"{line} {Path(path).name}"


def draw_examples(
    models: dict[str, tf_keras.Model], images: Images, rows: Sequence[int], num_samples: int
) -> Figure:
    """Original with the lungs outlined | the map of each model, with its share in the lungs."""
    size = images.field.shape
    pixels = bc.load_images(images.records["path"].iloc[list(rows)], size)
    masks = images.masks[list(rows)]
    with figure_style():
        figure = Figure(figsize=(2.2 * (1 + len(models)), 2.45 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 1 + len(models), squeeze=False)
        for ax, picture, row in zip(axes[:, 0], pixels, rows, strict=True):
            ax.imshow(picture)
            ax.set_ylabel(images.records["label"][row])
        for column, (variant, model) in enumerate(models.items(), start=1):
            draws = bc.analyze(model, pixels, num_samples=num_samples)
            mean = softmax(draws["logits"].to_numpy().astype(np.float64), axis=-1).mean(axis=0)
            maps = class_maps(draws["cam"].to_numpy(), mean.argmax(axis=1))
            cams = maps.mean(axis=0)
            shown = positive_evidence(cams, maps.std(axis=0), len(maps))
            axes[0, column].set_title(f"{variant}: relu(mean map)")
            for i, ax in enumerate(axes[:, column]):
                ax.imshow(color_overlay(pixels[i], cams[i], colormap="jet")[1])
                k = int(mean[i].argmax())
                words = f"{draws['class'].to_numpy()[k]} {mean[i, k]:.2f}"
                if not shown[i]:
                    words += ", no positive evidence"
                elif masks[i].any():
                    share = energy_in_masks(cams[i : i + 1], masks[i : i + 1])[0]
                    words += f", {share:.0%} in the lungs"
                ax.set_xlabel(words)
        axes[0, 0].set_title("test image")
        for line, mask in zip(axes, masks, strict=True):
            for ax in line:
                if mask.any():
                    ax.contour(mask, [0.5], colors="white", linewidths=0.9)
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
    return figure


def draw_verdict(intervals: dict[str, dict[str, Interval]]) -> Figure:
    """Energy in the lungs beside its baselines, and the AUC with and without the lungs.

    Args:
        intervals: for each variant, scores by name: estimate, lower and upper bound.
    """
    energy = {
        "maps": "energy in the lungs: maps",
        "maps of draws\n(credible interval)": DRAWS,
        "centred Gaussian": "energy in the lungs: centred Gaussian",
        "mean training mask": "energy in the lungs: mean training mask",
        "random weights": "energy in the lungs: random weights",
        "share of the image": AREA,
    }
    model = {
        VIEWS[0]: AUC,
        VIEWS[1]: f"{VIEWS[1]}: {AUC}",
        VIEWS[2]: f"{VIEWS[2]}: {AUC}",
        "against other findings\nof its own source": OWN_AUC,
    }
    probes = {view: f"{view}: linear probe, AUC" for view in VIEWS[:3]}
    panels = {
        "energy in the lungs": energy,
        AUC: model,
        "AUC, trained anew": probes,
    }
    with figure_style():
        figure = Figure(figsize=(12.0, 3.4), layout="constrained")
        for ax, (title, rows) in zip(figure.subplots(1, 3), panels.items(), strict=True):
            draw_rows(ax, rows, intervals)
            ax.set_title(title, loc="left")
        for ax in figure.axes[1:]:
            ax.set_xlim(0, 1.02)
            ax.axvline(0.5, color="#999999", linewidth=0.8, linestyle=":")
        figure.axes[2].set_xlabel("as published: which collection?\ncorrected: COVID-19?")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def draw_rows(ax: Axes, rows: dict[str, str], intervals: dict[str, dict[str, Interval]]) -> None:
    """One row per score, a dot with its interval per variant."""
    for shift, (variant, scores) in zip((0.13, -0.13), intervals.items(), strict=True):
        found = np.array([scores[key] for key in rows.values()])
        ax.errorbar(
            found[:, 0],
            np.arange(len(rows))[::-1] + shift,
            xerr=np.abs(found[:, 1:] - found[:, :1]).T,
            fmt="o",
            markersize=4,
            linewidth=1.3,
            color=COLORS[variant],
            label=variant,
        )
    ax.set_yticks(range(len(rows) - 1, -1, -1), list(rows))
    ax.set_ylim(-0.5, len(rows) - 0.5)
    ax.set_xlim(0, None)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
