"""`analyze`: draws of class probabilities and of their maps, of images in memory, with names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from bayescam.types import Array, CamDraws, DrawUnit, InputError, check_whole_number
from bayescam.uncertainty import check_draws
from bayescam.uncertainty.decomposition import entropies
from bayescam.uncertainty.intervals import interval_of
from bayescam.workflows.folders import package_versions
from bayescam.workflows.progress import ProgressReport, progress_bars

if TYPE_CHECKING:
    import tf_keras

    from bayescam.explain import CamExplainer, MapMethod, Target
    from bayescam.models import ModelEnsemble

__all__ = [
    "PRINTED_MEASURES",
    "analyze",
    "check_images",
    "draw_members",
    "explained_targets",
    "explain_padded",
    "make_explainer",
    "summarize",
    "summarize_logits",
    "unit_of_draws",
]

PRINTED_MEASURES = (
    "predictive_entropy",
    "expected_entropy",
    "mutual_information",
    "mean_probs",
    "sd_probs",
    "interval_lower",
    "interval_upper",
)
"""The measures in the table of `summarize` that have a Monte Carlo standard error."""


def analyze(
    model: tf_keras.Model | ModelEnsemble,
    images: Array,
    *,
    num_samples: int = 100,
    seed: int = 0,
    targets: Literal["all"] | Sequence[str | int] = "all",
    method: MapMethod = "gradcam",
    target_layer: str | Sequence[str] | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> xr.Dataset:
    """Return draws of the logits and of the class activation maps of images.

    Entry `draw=s` of both comes from the same weights, whatever the batch size.

    Args:
        model: a classifier with class names, of `build_classifier`, `adapt_model` or `load_model`,
            or several whole ones, of `load_ensemble`.
        images: RGB in 0..255, shape (N, H, W, 3), of the model's input size.
        num_samples: how many posterior draws, S. A model with nothing random has one, an ensemble
            of M such models M; `num_samples` in the attributes says how many there are.
        seed: key of the draws; more draws with the same seed begin with the same ones.
        targets: what the maps explain: logits of classes, by name or index, "all" of them by
            default; "mel - nv" (a contrast), "probability(mel)", "log_odds(mel)",
            "predictive_entropy" or "mutual_information" (where in the image is the doubt?).
        method: one of `bayescam.explain.MAP_METHODS`, each with its paper there; "gradcam"
            (Selvaraju et al. 2017, equations 1 and 2) by default. "scorecam", "smoothgrad" and
            "integrated_gradients" need many passes for each image.
        target_layer: name of the layer whose maps are weighted; by default the last maps before
            the head's pooling. Several names are explained in one pass. The last two methods have
            none: they explain pixels, and their `cam` holds sums over cells of 32x32.
        batch_size: images at a time.
        progress: show bars on standard error.

    Returns:
        `logits` (draw, image, class) and `cam` (draw, image, target, row, column), float32; maps
        are signed, unnormalised and at the resolution of the layer. Of several layers there is
        `cam_<layer>` with axes of its own, `row_<layer>` and `column_<layer>`; a slash in its name
        becomes an underscore. The map of an uncertainty is the mean of `cam` over the draws; each
        draw is what it adds. Attributes: `seed`, `num_samples`, `layer`, `method` and versions. The
        draws of an ensemble have a coordinate `member`: which model each is of.

    Raises:
        InputError: if an argument does not fit; the line says which and why.
    """
    check_whole_number("batch_size", batch_size, least=1)
    images = check_images(images, model.input_shape)
    explainer = make_explainer(
        model,
        num_samples=num_samples,
        seed=seed,
        targets=targets,
        method=method,
        target_layer=target_layer,
    )
    with progress_bars(shown=progress) as report:
        parts = list(_explain_batches(explainer, images, batch_size, report))
    return _name_axes(model, explainer, parts)


def make_explainer(
    model: tf_keras.Model | ModelEnsemble,
    *,
    num_samples: int,
    seed: int,
    targets: Literal["all"] | Sequence[str | int] = "all",
    method: MapMethod = "gradcam",
    target_layer: str | Sequence[str] | None = None,
) -> CamExplainer:
    """Return the function from images to draws of logits and maps; arguments as in `analyze`."""
    from bayescam.explain import CamExplainer
    from bayescam.inference import draw_posterior
    from bayescam.models import class_names

    return CamExplainer(
        draw_posterior(model, num_samples, seed=seed),
        targets=explained_targets(targets, class_names(model)),
        target_layer=target_layer,
        method=method,
    )


def draw_members(explainer: CamExplainer) -> list[str] | None:
    """Return the name of the model that each draw is of, (S,); `None` where there is one model."""
    from bayescam.inference import EnsembleDraws

    draws = explainer.draws
    if not isinstance(draws, EnsembleDraws):
        return None
    return [draws.names[s % len(draws.names)] for s in range(len(draws))]


def unit_of_draws(explainer: CamExplainer) -> DrawUnit:
    """Return what messages call a draw: see `draw_unit`."""
    from bayescam.inference.posterior import draw_unit

    return draw_unit(explainer.draws)


def explained_targets(
    targets: Literal["all"] | Sequence[str | int], names: Sequence[str]
) -> tuple[Target, ...]:
    """Return the scores that `targets` names: all classes, or some by name, index or expression."""
    from bayescam.explain import Target, parse_target

    if isinstance(targets, str):
        if targets != "all":
            raise InputError(
                f'`targets` must be "all" or a list; got {targets!r}. Did you mean [{targets!r}]?'
            )
        targets = range(len(names))
    unknown = [t for t in targets if not isinstance(t, str) and t not in range(len(names))]
    if unknown or not len(targets):
        raise InputError(
            f"`targets` must be classes of the model ({', '.join(names)}) or their indices; "
            f"got {unknown[0] if unknown else list(targets)!r}"
        )
    return tuple(
        parse_target(t, names) if isinstance(t, str) else Target.of_class(int(t), names[int(t)])
        for t in targets
    )


def explain_padded(
    explainer: CamExplainer, images: Array, batch_size: int, report: ProgressReport
) -> CamDraws:
    """Return the draws of at most `batch_size` images, computed as a full batch.

    One shape of batch is traced once, whereas every new one costs about a forward pass. Methods
    that need many passes for each image are told of as "passes", and do without.
    """
    count = len(images)
    if count == batch_size or explainer.one_by_one:
        return explainer(images, report=lambda done, total: report("passes", done, total, ""))
    padded = np.concatenate([images, np.repeat(images[:1], batch_size - count, axis=0)])
    full = explainer(padded)
    layers = {name: maps[:, :count] for name, maps in full.layers.items()}
    return CamDraws(full.logits[:, :count], layers, full.features[:count])


def summarize(dataset: xr.Dataset, *, level: float = 0.95) -> pd.DataFrame:
    """Return one row per image: what the draws of its class probabilities say.

    Args:
        dataset: of `analyze`, or of `analysis.zarr`.
        level: of the equal-tailed credible intervals.

    Returns:
        `image` (index), `predicted` (class of the largest mean probability), `confidence` (that
        probability), `p_<class>_mean`, `_sd`, `_lower` and `_upper` over the draws, and
        `predictive_entropy`, `expected_entropy`, `mutual_information` in nats. Where the draws are
        too few for these numbers, a warning says how many would be enough; see `check_draws`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal([2.0, 0.0], 0.1, size=(200, 1, 2))  # 200 draws of one image
        >>> names = {"image": [0], "class": ["nv", "mel"]}
        >>> ds = xr.Dataset({"logits": (("draw", "image", "class"), logits)}, coords=names)
        >>> summarize(ds)[["predicted", "confidence", "p_mel_lower", "p_mel_upper"]].round(2)
          predicted  confidence  p_mel_lower  p_mel_upper
        0        nv        0.88          0.1         0.16
    """
    if "logits" not in dataset or dataset["logits"].dims != ("draw", "image", "class"):
        raise InputError(
            "`dataset` must hold logits (draw, image, class), as bayescam.analyze returns; "
            f"got variables {sorted(map(str, dataset.data_vars))}"
        )
    logits = dataset["logits"].to_numpy()
    table = summarize_logits(logits, [str(name) for name in dataset["class"].values], level=level)
    probs = softmax(logits.astype(np.float64), axis=-1)
    unit = dataset.attrs.get("draws_are", "draws")
    line = check_draws(probs, measures=PRINTED_MEASURES, level=level, unit=unit)
    if line is not None:
        warnings.warn(line, stacklevel=2)
    table.insert(0, "image", dataset["image"].to_numpy())
    return table


def summarize_logits(
    logits: Array, class_names: Sequence[str], *, level: float = 0.95
) -> pd.DataFrame:
    """Return the columns of `summarize` without `image`, for logits (S, N, K)."""
    probs = softmax(logits.astype(np.float64), axis=-1)
    mean, spread = probs.mean(axis=0), probs.std(axis=0)
    interval = interval_of(probs, level)
    columns: dict[str, Array] = {
        "predicted": np.array(class_names, dtype=object)[mean.argmax(axis=1)],
        "confidence": mean.max(axis=1),
    }
    for k, name in enumerate(class_names):
        columns[f"p_{name}_mean"] = mean[:, k]
        columns[f"p_{name}_sd"] = spread[:, k]
        columns[f"p_{name}_lower"] = interval.lower[:, k]
        columns[f"p_{name}_upper"] = interval.upper[:, k]
    parts = entropies(probs)
    columns["predictive_entropy"] = parts.predictive_entropy
    columns["expected_entropy"] = parts.expected_entropy
    columns["mutual_information"] = parts.mutual_information
    return pd.DataFrame(columns).astype({"predicted": "str"})


def _explain_batches(
    explainer: CamExplainer, images: Array, batch_size: int, report: ProgressReport
) -> Iterator[CamDraws]:
    size = min(batch_size, len(images))
    for start in range(0, len(images), size):
        yield explain_padded(explainer, images[start : start + size], size, report)
        report("analyze", min(start + size, len(images)), len(images), "")


def _name_axes(
    model: tf_keras.Model | ModelEnsemble,
    explainer: CamExplainer,
    parts: list[CamDraws],
) -> xr.Dataset:
    from bayescam.models import class_names

    names = class_names(model)
    members = draw_members(explainer)
    logits = _join([part.logits for part in parts])
    layers = explainer.target_layers
    maps = {}
    for layer in layers:
        suffix = "" if len(layers) == 1 else f"_{layer.replace('/', '_')}"  # no path in a store
        axes = ("draw", "image", "target", f"row{suffix}", f"column{suffix}")
        maps[f"cam{suffix}"] = (axes, _join([part.layers[layer] for part in parts]))
    return xr.Dataset(
        {"logits": (("draw", "image", "class"), logits), **maps},
        coords={
            "image": np.arange(logits.shape[1]),
            "class": list(names),
            "target": [target.name for target in explainer.targets],
            **({} if members is None else {"member": ("draw", members)}),
        },
        attrs={
            "seed": explainer.draws.seed,
            "num_samples": explainer.draws.num_samples,
            "draws_are": unit_of_draws(explainer),
            "layer": ", ".join(explainer.target_layers),
            "method": explainer.method,
            **{f"version_{name}": number for name, number in package_versions().items()},
        },
    )


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def check_images(images: Array, input_shape: tuple[int | None, ...]) -> Array:
    """Return the images as an array, refusing those that do not fit the model."""
    images = np.asarray(images)
    expected = tuple(input_shape[1:])
    fits = images.ndim == 4 and all(
        want in (None, got) for want, got in zip(expected, images.shape[1:], strict=True)
    )
    if not fits or not len(images):
        slip = " Is the image axis missing?" if images.ndim == 3 else ""
        raise InputError(
            f"`images` must have shape (N, {', '.join(map(str, expected))}), N at least 1; "
            f"got {images.shape}.{slip}"
        )
    if images.dtype.kind not in "uif" or images.dtype.kind == "f" and not np.isfinite(images).all():
        raise InputError(f"`images` must be finite numbers in 0..255; got dtype {images.dtype}")
    if images.dtype.kind == "f" and 0 < images.max() <= 1:
        warnings.warn(
            f"`images` are RGB in 0..255, but none of these exceeds {images.max():.3g}: were they "
            "scaled to 0..1? Multiply them by 255",
            stacklevel=3,
        )
    return images
