"""`to_arviz`: draws of logits, probabilities and maps in the groups that ArviZ knows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import softmax

from bayescam.types import InputError
from bayescam.workflows.cases import shown_id
from bayescam.workflows.folders import read_manifest

if TYPE_CHECKING:
    import arviz

__all__ = ["to_arviz"]


def to_arviz(
    analysis: xr.Dataset | str | os.PathLike[str],
    *,
    labels: Sequence[str | int | None] | None = None,
    maps: bool = True,
) -> arviz.InferenceData:
    """Return the draws of an analysis as ArviZ's `InferenceData`.

    Logits, probabilities and maps are functions of the weights: draw `s` of each is the value that
    the weights of draw `s` give, with no noise of an observation. That is ArviZ's group `posterior`
    (a deterministic quantity there), not `posterior_predictive`, which is of simulated
    observations: labels drawn from the probabilities would add noise and say nothing new. There is
    no `log_likelihood` either: ArviZ's LOO would take images that nobody trained on for the data of
    the fit.

    The draws are independent, so they are one `chain`, whose effective size is their number;
    diagnostics between chains (R-hat) do not apply.

    Args:
        analysis: of `bayescam.analyze`, or the folder of `bayescam analyze`.
        labels: the class of each image, (N,), by name or index, `None` where it is not known. Those
            of a folder are read there.
        maps: take the maps of all draws too; those of a large folder may not fit into memory.
            Summaries of maps, in place of their draws, have no draw axis and are left out.

    Returns:
        Group `posterior`: `logits`, `probs` (chain, draw, image, class) and `cam` (chain, draw,
        image, target, row, column), as in the analysis, with its attributes. Group `observed_data`,
        where a label is known: `label` (image), index of the class, of these images alone. The
        `image` of a folder is its id.

    Raises:
        InputError: it is no analysis, labels do not fit it, or ArviZ is not installed.

    Example:
        >>> logits = np.log([[[0.7, 0.3]], [[0.5, 0.5]]])  # two draws of one image
        >>> names = {"image": [0], "class": ["nv", "mel"]}
        >>> ds = xr.Dataset({"logits": (("draw", "image", "class"), logits)}, coords=names)
        >>> data = to_arviz(ds, labels=["mel"])
        >>> float(data.posterior["probs"].mean("draw").sel({"class": "nv"}).item())
        0.6
        >>> data.observed_data["label"].values
        array([1])
    """
    package = _import_arviz()
    if isinstance(analysis, xr.Dataset):
        dataset = analysis
    else:
        if labels is not None:
            raise InputError("`labels` of an analysis folder are in it; give them with a dataset")
        dataset, labels = _read_folder(Path(analysis).expanduser())
    if "logits" not in dataset or dataset["logits"].dims != ("draw", "image", "class"):
        raise InputError(
            "`analysis` must hold logits (draw, image, class), as bayescam.analyze returns; "
            f"got variables {sorted(map(str, dataset.data_vars))}"
        )
    groups = {"posterior": _posterior(dataset, maps=maps)}
    if labels is not None:
        observed = _observed(dataset, labels)
        groups |= {"observed_data": observed} if observed.sizes["image"] else {}
    return package.InferenceData(**groups)


def _import_arviz() -> Any:  # noqa: ANN401
    """The package; once a day it warns of its version 1, which Python 3.11 does not have."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            import arviz
    except ImportError as error:
        raise InputError(
            "to_arviz needs ArviZ below version 1: pip install 'bayescam[arviz]'"
        ) from error
    if not hasattr(arviz, "InferenceData"):
        raise InputError(
            f"to_arviz needs ArviZ below version 1; {arviz.__version__} is installed: "
            "pip install 'bayescam[arviz]'"
        )
    return arviz


def _read_folder(folder: Path) -> tuple[xr.Dataset, list[str | None]]:
    """The analysed images of a folder, by their ids, and their labels."""
    read_manifest(folder, "analysis")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    stored = xr.open_zarr(folder / "analysis.zarr", chunks=None)
    ids = [shown_id(str(name)) for name in predictions["image_id"]]
    dataset = stored.isel(image=predictions["image"].to_numpy()).assign_coords(image=ids)
    labels = predictions["label"].to_numpy(dtype=object)
    return dataset, [None if pd.isna(label) else str(label) for label in labels]


def _posterior(dataset: xr.Dataset, *, maps: bool) -> xr.Dataset:
    """What has a draw axis, and probabilities, with one chain in front."""
    drawn = [name for name, values in dataset.data_vars.items() if "draw" in values.dims]
    group = dataset[[name for name in drawn if maps or name == "logits"]]
    logits = group["logits"].astype(np.float64)
    probs = logits.copy(data=softmax(logits.to_numpy(), axis=-1))
    return group.assign(
        draw=np.arange(dataset.sizes["draw"]), probs=probs.drop_vars("draw", errors="ignore")
    ).expand_dims(chain=[0])


def _observed(dataset: xr.Dataset, labels: Sequence[str | int | None]) -> xr.Dataset:
    """The labels that are known."""
    names = [str(name) for name in dataset["class"].values]
    if len(labels) != dataset.sizes["image"]:
        raise InputError(
            f"`labels` must be one for each of {dataset.sizes['image']} images; got {len(labels)}."
        )
    codes = np.array([_class_index(label, names) for label in labels])
    known: NDArray[np.intp] = np.flatnonzero(codes >= 0)
    return xr.Dataset(
        {"label": ("image", codes[known])}, coords={"image": dataset["image"].values[known]}
    )


def _class_index(label: Any, names: Sequence[str]) -> int:  # noqa: ANN401
    """The index of a class, -1 where it is not known."""
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        if 0 <= label < len(names):
            return int(label)
    elif label is None or pd.api.types.is_scalar(label) and pd.isna(label):
        return -1
    raise InputError(
        f"`labels` must be classes of the analysis ({', '.join(names)}) or their indices; "
        f"got {label!r}."
    )
