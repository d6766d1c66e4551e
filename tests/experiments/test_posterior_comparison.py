"""The comparison end to end on phantoms, after a tiny skin lesion study."""

from __future__ import annotations

import dataclasses
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import posterior_comparison as study
import posterior_config
import posterior_data
import posterior_heads
import posterior_scores as scores
import pytest
import skin_config
import skin_lesions
import skin_table
from kept_results import keep_config, save_arrays
from rich.console import Console
from scipy.special import softmax
from sklearn.metrics import log_loss

import bayescam as bc
from bayescam.data import write_phantoms
from bayescam.inference.features import FeatureCache
from bayescam.types import InputError
from bayescam.uncertainty import choose_prior_weight, cross_fit_logits, fit_covariate_prior

pytestmark = pytest.mark.filterwarnings(  # a hundred phantoms leave rare classes out
    "ignore:.*(no validation image is of|temperature ended on its bound)"
)

SMALL = {"splits": (0,), "seeds": (0, 1), "num_samples": 6, "num_foreign": 20, "epochs": 2}


def leave_skin_run(run, skin):
    """A run folder as `skin_lesions.py` leaves it, of two networks that were not trained."""
    config = skin_config.Config(data=str(skin), fractions=(0.5, 0.25, 0.25), networks=2)
    shares = dict(zip(("train", "val", "test"), config.fractions, strict=True))
    records = bc.split_records(bc.read_ham10000(skin), fractions=shares, seed=0)
    tables = {name: part.reset_index(drop=True) for name, part in records.groupby("split")}
    for number in range(2):
        model = bc.build_classifier(
            "narrow_vgg",
            class_names=skin_config.CLASS_NAMES,
            head="dense",
            input_shape=(32, 32, 3),
            seed=number,
        )
        home = run / "seed_0" / f"network_{number}"
        home.mkdir(parents=True)
        model.save(home / "model.keras")
        views = posterior_data.view_features(
            model, tables, skin_lesions.evaluated_views, home / "views", Console(quiet=True)
        )
        seen = {f"seen/{name}": views[name] for name in ("val", "test")}
        fitting = {"train": views["train"][:2], "val": views["val"][:1]}
        save_arrays(home / "features.npz", fitting | seen)
    keep_config(config, run / "config.json", without={"seeds"})


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Folder, configuration, tables and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "NUM_RESAMPLES", 40)
        patch.setitem(posterior_config.CHOICES, "flipout", ("prior_sd", (0.02, 0.5)))
        root, config = make_folders(tmp_path_factory)
        with redirect_stdout(StringIO()) as said:
            tables = study.main(config, root / "out")
        yield root, config, tables, said.getvalue()


def make_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("comparison")
    skin = write_phantoms(root / "skin", kind="skin", num_images=120, seed=0)
    chest = write_phantoms(root / "chest", kind="chest", num_images=90, seed=0)
    leave_skin_run(root / "run", skin)
    return root, study.Config(
        skin=str(skin),
        skin_run=str(root / "run"),
        chest=str(chest),
        chest_backbone="narrow_vgg",
        chest_shape=(32, 32, 3),
        heads=("flipout", "reparameterization"),
        **SMALL,
    )


def test_every_head_is_trained_scored_and_kept(compared):
    root, config, tables, said = compared
    heads = [*config.heads, study.PROBE]
    assert list(tables["skin"].index) == [*heads, "dense, fine-tuned", "ensemble of 2 networks"]
    assert list(tables["chest"].index) == heads
    assert "Best likelihood on validation images" in said
    assert "reparameterization are one posterior" in said
    kept = {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*.npz")}
    names = {path.name for path in kept}
    assert {"flipout 0.02 seed 0.npz", "flipout 0.5 seed 0.npz"} <= names
    (path,) = (root / "out" / "skin_0").glob("reparameterization* seed 1.npz")
    with np.load(path) as run:
        assert run["test"].shape[0] == run["chest X-rays"].shape[0] == 6
        assert run["skin phantoms"].shape[1] == 20
    again = study.main(config, root / "out")
    assert {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*.npz")} == kept
    assert again["skin"].drop(columns="seconds").equals(tables["skin"].drop(columns="seconds"))


@pytest.fixture(scope="module")
def networks(compared):
    """Records by part, and logits (2, N, K) of both networks, from the images."""
    _, config, *_ = compared
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    records = bc.split_records(bc.read_ham10000(config.skin), fractions=shares, seed=0)
    folders = sorted((Path(config.skin_run) / "seed_0").iterdir())
    models = [bc.load_model(folder / "model.keras") for folder in folders]
    parts = {name: part for name, part in records.groupby("split")}
    logits = {}
    for part in ("val", "test"):
        views = skin_lesions.evaluated_views(bc.load_images(parts[part]["path"], (32, 32)))
        logits[part] = np.stack([np.mean([m(view) for view in views], axis=0) for m in models])
    return parts, logits


def calibrated_loss(logits, parts):
    """NLL of test images, calibrated on validation images."""
    labels = {part: skin_config.label_codes(parts[part]) for part in ("val", "test")}
    fit = study.fit_calibration(logits["val"], labels["val"], bias_penalty=3.0)
    return log_loss(
        labels["test"], skin_table.mean_probs(fit.apply(logits["test"])), labels=range(7)
    )


def test_whole_networks_are_rows(compared, networks):
    table, (parts, logits) = compared[2]["skin"], networks
    for row, members in {"dense, fine-tuned": 1, "ensemble of 2 networks": 2}.items():
        expected = calibrated_loss({part: z[:members] for part, z in logits.items()}, parts)
        assert table.loc[row, "NLL"] == pytest.approx(expected, rel=1e-3)


def test_age_sex_and_site_are_a_prior_of_the_classes(compared, networks):
    table, (parts, logits) = compared[2][study.INFORMED], networks
    names = skin_config.CLASS_NAMES
    prior = fit_covariate_prior(parts["train"], posterior_config.COVARIATES, names)
    ratio = {part: prior.log_ratio(parts[part]) for part in ("val", "test")}
    codes, groups = skin_config.label_codes(parts["val"]), parts["val"]["group"].to_numpy(str)
    weight = choose_prior_weight(logits["val"][:1], ratio["val"], codes, groups, bias_penalty=3.0)
    known = {part: z + weight * ratio[part] for part, z in logits.items()}
    for row, members in {"dense, fine-tuned": 1, "ensemble of 2 networks": 2}.items():
        expected = calibrated_loss({part: z[:members] for part, z in known.items()}, parts)
        assert table.loc[row, "NLL"] == pytest.approx(expected, rel=1e-3)
        gap = table.loc[row, "NLL"] - compared[2]["skin"].loc[row, "NLL"]
        assert f"- {row}: NLL {gap:.4f} [".replace("-0.0000", "0.0000") in compared[3]
    assert not [name for name in table if "chest" in name]


def test_what_is_known_is_added_to_every_draw(compared):
    rng = np.random.default_rng(0)
    run = {"val": rng.normal(size=(3, 4, 7)), "test": rng.normal(size=(3, 5, 7)), "seconds": 1.0}
    run["chest X-rays"] = rng.normal(size=(3, 2, 7))
    ratio = {"val": rng.normal(size=(4, 7)), "test": rng.normal(size=(5, 7))}
    _, config, *_ = compared
    real = study.TASKS["skin"](config, 0, compared[0] / "out" / "skin_0", Console(quiet=True))
    task = dataclasses.replace(real, log_ratio=ratio)
    found = study.informed(task, run)
    assert set(found) == {"val", "test", "seconds"}
    for part in ("val", "test"):
        for draw in range(3):
            np.testing.assert_array_equal(found[part][draw], run[part][draw] + ratio[part])


def test_the_choice_is_by_the_likelihood_of_validation_images(compared):
    """From the kept logits of one head, by the library's own cross-fitting."""
    root, config, tables, _ = compared
    console = Console(quiet=True)
    task = study.TASKS["chest"](config, 0, root / "out" / "chest_0", console)
    losses = []
    for seed in config.seeds:
        (path,) = (root / "out" / "chest_0").glob(f"reparameterization* seed {seed}.npz")
        with np.load(path) as run:
            logits = cross_fit_logits(
                run["val"], task.labels["val"], task.groups["val"], bias_penalty=3.0
            )
        probs = softmax(np.float64(logits), axis=-1).mean(axis=0)
        losses.append(log_loss(task.labels["val"], probs))
    found = tables["chest"].loc["reparameterization", "NLL, validation"]
    assert found == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(
    ("strengths", "warned"), [((1e-5, 1e-2, 1.0), False), ((1e-4, 1e-3), True)]
)
def test_the_linear_probe_says_when_its_penalty_is_on_the_edge(
    strengths, warned, monkeypatch, capsys
):
    """The noisier the features, the stronger the best penalty; here it is near C = 0.01."""
    rng = np.random.default_rng(0)
    labels = {part: rng.integers(2, size=400) for part in ("train", "val")}
    views = {
        part: (rng.normal(size=(400, 60)) + 0.15 * codes[:, None])[None].astype(np.float32)
        for part, codes in labels.items()
    }
    task = study.Task(
        name="noise",
        class_names=("a", "b"),
        fitting=(FeatureCache(views["train"]), FeatureCache(views["val"])),
        fitting_labels=(labels["train"], labels["val"]),
        seen={"val": views["val"]},
        labels={"val": labels["val"]},
        groups={"val": np.arange(400)},
        concern="a",
    )
    monkeypatch.setattr(posterior_heads, "STRENGTHS", strengths)
    posterior_heads.linear_probe(task, Console())
    assert ("the edge of" in capsys.readouterr().out) == warned


def test_a_missing_skin_run_is_one_line(compared, tmp_path):
    _, config, *_ = compared
    missing = study.Config(**{**vars(config), "skin_run": str(tmp_path)})
    with pytest.raises(InputError, match=r"has no config.json; run skin_lesions.py there"):
        study.main(missing, tmp_path / "out")
    kept = (Path(config.skin_run) / "config.json").read_text()
    (tmp_path / "config.json").write_text(kept)
    with pytest.raises(InputError, match=r"has no seed_0/network_0/features.npz; run skin_lesions"):
        study.main(missing, tmp_path / "other")
