"""`analyze_exactly`: distributions of logits and maps without a single draw, with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from bayescam.types import Array, InputError, MapMoments
from bayescam.workflows.analysis import check_images, explained_targets
from bayescam.workflows.folders import package_versions

if TYPE_CHECKING:
    import tf_keras

__all__ = ["analyze_exactly"]

_MAP = ("image", "target", "row", "column")


def analyze_exactly(
    model: tf_keras.Model,
    images: Array,
    *,
    targets: Literal["all"] | Sequence[str | int] = "all",
    target_layer: str | None = None,
    batch_size: int = 32,
) -> xr.Dataset:
    """Return the exact distribution of logits and Grad-CAM maps, where the head allows it.

    A head of one layer with a Gaussian posterior (flipout, reparameterised or Laplace, no hidden
    layer) makes every logit and every pixel of its map Gaussian. What `analyze` estimates from
    draws, within a Monte Carlo error, is then known. Probabilities are not: they are softmax of
    the logits together.

    Args:
        model: a classifier with class names.
        images: RGB in 0..255, shape (N, H, W, 3), of the model's input size.
        targets: classes by name or index, or contrasts as "mel - nv"; all classes by default.
        target_layer: name of the layer whose maps are weighted; see `analyze`.
        batch_size: images at a time.

    Returns:
        `logit_mean` and `logit_sd` (image, class); `cam_mean`, `cam_sd`, `cam_p_relevant` and
        `cam_p_positive` (image, target, row, column), signed and unnormalised, as
        `bayescam.explain.MapStatistics` describes them; `cam_has_evidence` (image, target), whether
        the mean map is positive anywhere. Attributes: `layer`, `method` and versions.

    Raises:
        InputError: if the head has no closed form, or an argument does not fit.
    """
    from bayescam.explain import cam_moments, gaussian_statistics, logit_moments, positive_evidence
    from bayescam.inference.split import split_network
    from bayescam.models import ModelEnsemble, class_names

    if isinstance(model, ModelEnsemble):
        raise InputError("`model` must be one model: an ensemble is a mixture. Use `analyze`")
    if batch_size < 1:
        raise InputError(f"`batch_size` must be at least 1; got {batch_size}")
    images = check_images(images, model.input_shape)
    names = class_names(model)
    chosen = explained_targets(targets, names)
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    logits = [logit_moments(model, batch) for batch in batches]
    maps = [
        cam_moments(model, batch, targets=chosen, target_layer=target_layer) for batch in batches
    ]
    statistics = gaussian_statistics(
        MapMoments(*(np.concatenate([getattr(m, n) for m in maps]) for n in ("mean", "variance")))
    )
    variance = np.concatenate([part.variance for part in logits])
    split = split_network(model)
    return xr.Dataset(
        {
            "logit_mean": (("image", "class"), np.concatenate([part.mean for part in logits])),
            "logit_sd": (("image", "class"), np.sqrt(variance)),
            **{f"cam_{name}": (_MAP, values) for name, values in statistics._asdict().items()},
            "cam_has_evidence": (
                ("image", "target"),
                positive_evidence(statistics.mean, statistics.sd, None),
            ),
        },
        coords={
            "image": np.arange(len(images)),
            "class": list(names),
            "target": [target.name for target in chosen],
        },
        attrs={
            "layer": split.graph.name_of(split.target_key(target_layer)),
            "method": "gradcam",
            **{f"version_{name}": number for name, number in package_versions().items()},
        },
    )
