from __future__ import annotations

import builtins
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import softmax

import bayescam as bc
from bayescam.types import CamDraws, InputError
from bayescam.uncertainty import credible_interval
from bayescam.workflows.analysis import summarize_logits
from bayescam.workflows.folders import new_manifest, work_folder, write_table
from bayescam.workflows.store import AnalysisStore, StoreLayout

pytest.importorskip("arviz", reason="needs the extra arviz")
LEVEL = 0.801  # both take the same number of draws unless `LEVEL * S` is whole
NAMES = ("nv", "mel", "bkl")
SIZES = {"draw": 300, "image": 4, "class": 3, "target": 2, "row": 2, "column": 3, "feature": 5}


@pytest.fixture(scope="module")
def arrays() -> CamDraws:
    rng = np.random.default_rng(4)
    logits, cams, features = (
        rng.normal(0, 1.5, [SIZES[axis] for axis in axes.split()]).astype(np.float32)
        for axes in ("draw image class", "draw image target row column", "image feature")
    )
    return CamDraws(logits, {"last": cams}, features)


@pytest.fixture(scope="module")
def dataset(arrays: CamDraws) -> xr.Dataset:
    """As `bayescam.analyze` returns it, of an ensemble of two."""
    return xr.Dataset(
        {
            "logits": (("draw", "image", "class"), arrays.logits),
            "cam": (("draw", "image", "target", "row", "column"), arrays.cams),
        },
        coords={
            "image": np.arange(4),
            "class": list(NAMES),
            "target": ["nv", "mel - nv"],
            "member": ("draw", ["one", "two"] * 150),
        },
        attrs={"seed": 3, "layer": "last"},
    )


@pytest.fixture(scope="module")
def folder(arrays: CamDraws, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of which image 1 could not be decoded and image 3 has no label."""
    target = tmp_path_factory.mktemp("analyses") / "analysis"
    done = np.array([0, 2, 3])
    known = pd.DataFrame(
        {
            "image_id": ["a", "mel/DOE_JOHN/img1", "c"],
            "path": ["/p/a.png", "/p/mel/DOE_JOHN/img1.png", "/p/c.png"],
            "label": ["bkl", "mel", None],
            "image": done,
        }
    )
    with work_folder(target, new_manifest("analysis", seed=3, fingerprint="", settings={})) as part:
        store = AnalysisStore.create(
            part / "analysis.zarr",
            StoreLayout(SIZES, "draws", 4),
            class_names=NAMES,
            target_names=["nv", "mel - nv"],
            attributes={"seed": 3},
        )
        kept = CamDraws(
            arrays.logits[:, done], {"last": arrays.cams[:, done]}, arrays.features[done]
        )
        store.write(done, kept)
        summary = summarize_logits(arrays.logits[:, done], NAMES)
        write_table(part / "predictions.parquet", pd.concat([known, summary], axis=1))
    return target


def test_arviz_computes_what_we_compute(dataset: xr.Dataset) -> None:
    import arviz

    data = bc.to_arviz(dataset)
    probs = softmax(dataset["logits"].to_numpy().astype(float), axis=-1)
    table = arviz.summary(data, var_names=["probs"], kind="stats", round_to="none")
    assert table.index[1] == "probs[0, mel]"
    ours = bc.summarize(dataset)
    for k, name in enumerate(NAMES):
        np.testing.assert_allclose(table["mean"].to_numpy()[k::3], ours[f"p_{name}_mean"])
    for quantity, values in (("probs", probs), ("logits", dataset["logits"].to_numpy())):
        interval = credible_interval(values, level=LEVEL, kind="highest-density")
        found = arviz.hdi(data, hdi_prob=LEVEL, var_names=[quantity])[quantity]
        np.testing.assert_allclose(found.sel(hdi="lower"), interval.lower, rtol=1e-6)
        np.testing.assert_allclose(found.sel(hdi="higher"), interval.upper, rtol=1e-6)


def test_independent_draws_have_their_own_number_as_effective_size(dataset: xr.Dataset) -> None:
    import arviz

    sizes = arviz.ess(bc.to_arviz(dataset), method="mean")["cam"].to_numpy()
    assert sizes.shape == (4, 2, 2, 3)
    assert 0.8 < sizes.mean() / SIZES["draw"] < 1.25


def test_maps_keep_names_and_values_and_come_with_their_draw(dataset: xr.Dataset) -> None:
    posterior = bc.to_arviz(dataset).posterior
    assert posterior["cam"].dims == ("chain", "draw", "image", "target", "row", "column")
    chosen = posterior["cam"].sel(chain=0, draw=17, image=2, target="mel - nv")
    np.testing.assert_array_equal(chosen, dataset["cam"].values[17, 2, 1])
    assert posterior["member"].sel(draw=17).item() == "two"
    assert posterior.attrs["layer"] == "last"
    assert "cam" not in bc.to_arviz(dataset, maps=False).posterior


def test_labels_are_observed_where_they_are_known(dataset: xr.Dataset) -> None:
    observed = bc.to_arviz(dataset, labels=["mel", None, 2, float("nan")]).observed_data
    assert dict(zip(observed["image"].values, observed["label"].values, strict=True)) == {
        0: 1,
        2: 2,
    }
    assert bc.to_arviz(dataset).groups() == ["posterior"]
    assert bc.to_arviz(dataset, labels=[None] * 4).groups() == ["posterior"]


def test_a_folder_gives_its_analysed_images_by_id_without_folders(
    folder: Path, arrays: CamDraws, tmp_path: Path
) -> None:
    import arviz

    data = bc.to_arviz(folder)
    ids = list(data.posterior["image"].values)
    assert ids == ["a", "img1-aa6eeccc", "c"]
    np.testing.assert_array_equal(data.posterior["cam"][0], arrays.cams[:, [0, 2, 3]])
    assert list(data.observed_data["label"].values) == [2, 1]
    assert list(data.observed_data["image"].values) == ids[:2]
    data.to_netcdf(tmp_path / "draws.nc")
    again = arviz.from_netcdf(tmp_path / "draws.nc")
    xr.testing.assert_equal(again.posterior["probs"], data.posterior["probs"])


def test_whole_draws_are_a_table_of_pandas_too(dataset: xr.Dataset) -> None:
    frame = bc.to_arviz(dataset).posterior["probs"].to_dataframe()["probs"]
    assert frame.groupby(level=["draw", "image"]).sum().to_numpy() == pytest.approx(1.0)
    assert frame.loc[(0, 5, 3, "mel")] == pytest.approx(
        softmax(dataset["logits"].values[5, 3].astype(float))[1]
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["mel"], "`labels` must be one for each of 4 images; got 1"),
        (["mel", "melanoma", 0, 0], r"classes of the analysis \(nv, mel, bkl\).*got 'melanoma'"),
        ([0, 1, 2, 3], "got 3"),
        ([0, 1, 2, True], "got True"),
    ],
)
def test_labels_must_fit(dataset: xr.Dataset, labels: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bc.to_arviz(dataset, labels=labels)


def test_what_is_no_analysis_is_refused(dataset: xr.Dataset, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold logits"):
        bc.to_arviz(dataset[["cam"]])
    with pytest.raises(InputError, match="expected a bayescam analysis folder"):
        bc.to_arviz(tmp_path)
    with pytest.raises(InputError, match="are in it"):
        bc.to_arviz(folder, labels=["mel"])


@pytest.mark.parametrize("found", [ImportError("no"), SimpleNamespace(__version__="1.2.0")])
def test_without_arviz_one_line_says_what_to_install(dataset, monkeypatch, found) -> None:
    real = builtins.__import__

    def find(name: str, *args: object, **options: object) -> object:
        if name != "arviz":
            return real(name, *args, **options)
        if isinstance(found, ImportError):
            raise found
        return found

    monkeypatch.setattr(builtins, "__import__", find)
    with pytest.raises(InputError, match=r"pip install 'bayescam\[arviz\]'"):
        bc.to_arviz(dataset)
