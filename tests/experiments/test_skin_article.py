"""System A as published and corrected, on phantoms with a tiny network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import skin_article as study
from kept_results import save_arrays
from skin_config import CLASS_NAMES

import bayescam as bc
from bayescam.data import write_phantoms

pytestmark = pytest.mark.filterwarnings("ignore:.*a class without images:UserWarning")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The configuration, its records, the folder of results and the table."""
    root = tmp_path_factory.mktemp("article")
    skin = write_phantoms(root / "skin", kind="skin", num_images=120, seed=0)
    config = study.Config(
        data=str(skin),
        backbone="narrow_vgg",
        input_shape=(32, 32, 3),
        epochs=1,
        num_samples=4,
        seeds=(0,),
    )
    out = root / "out"
    study.main(config, out)
    with np.load(out / "seed_0.npz") as run:
        save_arrays(out / "seed_1.npz", another_seed(dict(run)))
    config = dataclasses.replace(config, seeds=(0, 1))
    return config, bc.read_ham10000(skin), out, study.main(config, out)


def another_seed(run):
    """What a second seed might leave: the labels in another order, and no sibling in training."""
    rng = np.random.default_rng(0)
    for variant in study.SCORED:
        run[f"{variant}/labels"] = rng.permutation(run[f"{variant}/labels"])
        run[f"{variant}/siblings"] = np.zeros_like(run[f"{variant}/siblings"])
    return run


def test_only_the_published_split_has_siblings_in_training(done):
    _, records, out, table = done
    published, corrected = (study.cut(records, variant, 0) for variant in study.SCORED)
    assert not {*corrected["test"]["group"]} & {*corrected["train"]["group"]}
    siblings = published["val"]["group"].isin(published["train"]["group"])
    assert siblings.any()
    with np.load(out / "seed_0.npz") as run:
        labels = [CLASS_NAMES[k] for k in run["corrected/labels"]]
        assert labels == corrected["test"]["label"].tolist()
        np.testing.assert_array_equal(run["as published/siblings"], siblings)
        assert not run["corrected/siblings"].any()
    row = table.loc["images with a sibling in training"]
    assert row["dense, as published"] == f"{siblings.mean() / 2:.1%}"  # the second seed has none
    assert row["flipout, corrected"] == "0.0%"


def test_scores_are_means_over_the_seeds(done):
    _, _, out, table = done
    for variant in study.SCORED:
        for head in study.HEADS:
            accuracies = []
            for seed in (0, 1):
                with np.load(out / f"seed_{seed}.npz") as run:
                    probs = run[f"{variant}, {head}/probs"]
                    accuracies.append((probs.argmax(axis=1) == run[f"{variant}/labels"]).mean())
                    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
            cell = table.loc["accuracy", f"{head}, {variant}"]
            assert cell.startswith(f"{np.mean(accuracies):.3f} [")


def test_what_is_done_is_kept_and_another_configuration_refused(done, capsys):
    config, _, out, table = done
    written = [path.stat().st_mtime_ns for path in sorted(out.glob("seed_*.npz"))]
    assert study.main(config, out).equals(table)
    assert [path.stat().st_mtime_ns for path in sorted(out.glob("seed_*.npz"))] == written
    assert "| accuracy " in capsys.readouterr().out
    assert not list(out.glob("seed_*/*/features"))
    assert sorted(path.name for path in out.glob("*.png")) == ["draws_0.png"]
    with pytest.raises(bc.InputError, match="is of another configuration"):
        study.main(dataclasses.replace(config, epochs=2), out)
