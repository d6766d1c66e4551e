"""What `bayescam evaluate` says of images whose draws are known, against direct computations."""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import accuracy_score, log_loss, recall_score, roc_auc_score

from bayescam.cli import main
from bayescam.report import format_interval
from bayescam.types import InputError
from bayescam.uncertainty import (
    Calibration,
    accuracy_at_referral,
    bootstrap_shift,
    check_draws,
    class_at_referral,
    class_overlap,
    covariance_split,
    coverage_band,
    credible_interval,
    decompose,
    fit_calibration,
    fit_conformal,
    fit_referral_rule,
    interval_error,
    monte_carlo_error,
    risk_coverage,
    variation_ratio,
)
from bayescam.uncertainty.resampling import resample_groups
from bayescam.workflows.acting import read_decisions
from bayescam.workflows.evaluate import evaluate_folder
from bayescam.workflows.finished import Analysis, load_analysis
from bayescam.workflows.parts import choose_parts
from bayescam.workflows.report import report_folder
from bayescam.workflows.strata import find_strata

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "evaluate_time.py"
SILENT = "missed_silently"
NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_time", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folders(writer: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("known")
    options = {"num_draws": 12, "num_features": 8}
    return {
        "test": writer.write_analysis(root / "test", 400, seed=1, **options),
        "val": writer.write_analysis(root / "val", 500, split="val", seed=2, **options),
        "ood": writer.write_analysis(root / "ood", 90, split=None, seed=3, shift=1.0, **options),
    }


@pytest.fixture(scope="module")
def evaluation(folders: dict[str, Path]) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate_folder(
            folders["test"],
            calibration=folders["val"],
            ood=folders["ood"],
            strata="localization",
            class_of_concern="mel",
            target_risk=0.15,
            seed=5,
        )


@pytest.fixture(scope="module")
def halves(folders: dict[str, Path]) -> dict[str, np.ndarray]:
    parts = choose_parts(load_analysis(folders["test"]), folders["val"], seed=5)
    names = ("calibrating", "first_half", "guaranteeing")
    return {name: getattr(parts, name) for name in names}


def fitted(folders: dict[str, Path], rows: np.ndarray) -> Calibration:
    val = load_analysis(folders["val"])
    return fit_calibration(val.logits[:, rows], val.labels[rows])


def probs_of(analysis: Analysis, calibration: Calibration) -> np.ndarray:
    return softmax(calibration.apply(analysis.logits.astype(float)), axis=-1)


@pytest.fixture(scope="module")
def probs(folders: dict[str, Path], halves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fit = fitted(folders, halves["calibrating"])
    return {name: probs_of(load_analysis(folder), fit) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def half_probs(folders: dict[str, Path], halves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fit = fitted(folders, halves["first_half"])
    return {name: probs_of(load_analysis(folder), fit) for name, folder in folders.items()}


def test_halves_share_no_group_and_one_image_stands_for_each(
    folders: dict[str, Path], halves: dict[str, np.ndarray], evaluation: dict
) -> None:
    groups = load_analysis(folders["val"]).predictions["group"]
    first, second = (groups.iloc[halves[name]] for name in ("first_half", "guaranteeing"))
    assert not set(first) & set(second)
    assert second.is_unique
    assert len(second) == groups.nunique() // 2
    assert set(first) | set(second) == set(groups)
    np.testing.assert_array_equal(halves["calibrating"], np.arange(len(groups)))
    assert evaluation["parts"]["first_half"]["num_images"] == len(first)
    assert evaluation["parts"]["guaranteeing"]["num_groups"] == len(second)
    assert evaluation["calibration"]["num_images"] == len(groups)
    found, fit = evaluation["threshold_calibration"], fitted(folders, halves["first_half"])
    assert found["num_images"] == len(first)
    assert found["temperature"] == pytest.approx(fit.temperature)
    assert list(found["class_bias"].values()) == pytest.approx(fit.class_bias.tolist())


def test_every_measure_of_every_image_is_in_the_table(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    table, draws = pd.read_csv(folders["test"] / "tables" / "images.csv"), probs["test"]
    traces, errors = covariance_split(draws).traces, monte_carlo_error(draws)
    parts, densest = decompose(draws), credible_interval(draws, kind="highest-density")
    ends = interval_error(draws, kind="highest-density")
    of_leading = draws[:, np.arange(400), draws.mean(0).argmax(1)]
    expected = {
        "1 - confidence": 1 - draws.mean(0).max(1),
        "mutual_information": parts.mutual_information,
        "variation_ratio": variation_ratio(draws),
        "class_overlap": class_overlap(draws),
        "epistemic_variance": traces.epistemic,
        "aleatoric_variance": traces.aleatoric,
        "total_variance": traces.total,
        "mutual_information_error": errors.mutual_information,
        "epistemic_variance_error": errors.epistemic_variance,
        "p_mel_mean": draws[:, :, 4].mean(0),
        "p_mel_upper": np.quantile(draws[:, :, 4], 0.975, axis=0),
        "p_mel_hd_lower": densest.lower[:, 4],
        "p_mel_epistemic": draws[:, :, 4].var(0),
        "p_mel_epistemic_error": errors.labelwise_epistemic[:, 4],
        "p_mel_mean_error": draws[:, :, 4].std(0, ddof=1) / np.sqrt(12),
        "confidence": draws.mean(0).max(1),
        "1 - confidence_error": of_leading.std(0, ddof=1) / np.sqrt(12),
        "p_mel_hd_lower_error": ends[0][:, 4],
        "p_mel_hd_upper_error": ends[1][:, 4],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values, rtol=2e-5, atol=1e-9, err_msg=name)
    labels = load_analysis(folders["test"]).labels
    right = draws.mean(0).argmax(1) == labels
    summary = evaluation["measures"]["scores"]["mutual_information"]
    assert summary["mean_wrong"] == pytest.approx(parts.mutual_information[~right].mean())
    assert summary["q95"] == pytest.approx(np.quantile(parts.mutual_information, 0.95))
    assert evaluation["measures"]["draws"] == check_draws(draws)
    assert evaluation["measures"]["draws"] in evaluation["notes"]


def test_class_scores_are_those_of_scikit_learn(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    mean, labels = probs["test"].mean(0), load_analysis(folders["test"]).labels
    table = pd.read_csv(folders["test"] / "tables" / "classes.csv", index_col="class")
    for k, name in enumerate(NAMES):
        sensitivity = recall_score(labels == k, mean.argmax(1) == k)
        specificity = recall_score(labels != k, mean.argmax(1) != k)
        assert table.loc[name, "sensitivity"] == pytest.approx(sensitivity)
        assert table.loc[name, "specificity"] == pytest.approx(specificity)
        assert table.loc[name, "auc"] == pytest.approx(roc_auc_score(labels == k, mean[:, k]))
        assert table.loc[name, "images"] == (labels == k).sum()
    assert (table["specificity_lower"] <= table["specificity"]).all()
    assert (table["specificity"] <= table["specificity_upper"]).all()
    assert evaluation["scored"]["classes"] == dict(zip(NAMES, np.bincount(labels), strict=True))


def test_referral_by_every_score_and_the_silent_misses(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    draws, labels = probs["test"], load_analysis(folders["test"]).labels
    predicted = draws.mean(0).argmax(1)
    score = decompose(draws).mutual_information
    curve = risk_coverage(score, predicted == labels)
    found = evaluation["referral"]["calibrated"]
    assert set(found) == {
        "1 - confidence",
        "predictive_entropy",
        "expected_entropy",
        "mutual_information",
        "variation_ratio",
        "class_overlap",
        "total_variance",
        "aleatoric_variance",
        "epistemic_variance",
    }
    area = found["mutual_information"]["aurc"]
    assert area["estimate"] == pytest.approx(curve.aurc)
    assert area["lower"] < curve.aurc < area["upper"]
    assert found["mutual_information"]["excess_aurc"]["estimate"] == pytest.approx(
        curve.excess_aurc
    )
    kept = np.argsort(score)[:320]
    silent = ((labels == 4) & (predicted != 4))[kept].sum() / (labels == 4).sum()
    accuracy = (predicted == labels)[kept].mean()
    sensitivity = (predicted[kept] == 4)[labels[kept] == 4].mean()
    concern = found["mutual_information"]["concern"]
    assert concern["missed_silently"]["0.2"]["estimate"] == pytest.approx(silent)
    of_all = found["mutual_information"]["accuracy_at_referral"]["0.2"]
    assert of_all["estimate"] == pytest.approx(accuracy)
    expected = {
        ("referral", "accuracy, 20 % referred"): accuracy,
        ("referral", "excess_aurc"): curve.excess_aurc,
        ("concern", "mel missed silently, 20 % referred"): silent,
        ("concern_sensitivity", "sensitivity for kept mel, 20 % referred"): sensitivity,
    }
    for (name, column), value in expected.items():
        table = pd.read_csv(folders["test"] / "tables" / f"{name}.csv", index_col="score")
        row = table.loc["mutual_information"]
        assert row[column] == pytest.approx(value)
        text = (folders["test"] / "tables" / f"{name}.md").read_text()
        assert f"| {format_interval(*row[[column, *bounds(column)]])} " in text
        estimates = [name for name in table if not str(name).endswith(("_lower", "_upper"))]
        for name in estimates:
            lower, upper = (table[bound] for bound in bounds(name))
            assert ((lower <= table[name]) & (table[name] <= upper)).all()


def bounds(column: str) -> list[str]:
    return [f"{column}_{bound}" for bound in ("lower", "upper")]


def test_rates_have_the_intervals_of_images_listed_again_and_again(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    draws, test = probs["test"], load_analysis(folders["test"])
    predicted, score = draws.mean(0).argmax(1), variation_ratio(draws)
    codes = np.unique(test.predictions["group"], return_inverse=True)[1]
    slow = []
    for counts in np.concatenate(list(resample_groups(codes.max() + 1, 1000, seed=5))):
        rows = np.repeat(np.arange(400), counts[codes].astype(int))
        part, labels = (predicted[rows], test.labels[rows])
        of_class = class_at_referral(score[rows], part, labels, class_index=4, rates=[0.1])
        accuracy = accuracy_at_referral(score[rows], part == labels, 0.1)
        slow.append([accuracy, of_class.sensitivity[0], of_class.missed_silently[0]])
    found = evaluation["referral"]["calibrated"]["variation_ratio"]
    parts = [found["accuracy_at_referral"], *map(found["concern"].get, ("sensitivity", SILENT))]
    for part, resamples in zip(parts, np.transpose(slow), strict=True):
        assert [part["0.1"]["lower"], part["0.1"]["upper"]] == pytest.approx(
            np.nanquantile(resamples, [0.025, 0.975])
        )


def test_the_referral_rule_is_fitted_on_its_half_and_judged_on_test(
    folders: dict[str, Path],
    half_probs: dict[str, np.ndarray],
    halves: dict[str, np.ndarray],
    evaluation: dict,
) -> None:
    val, rows = load_analysis(folders["val"]), halves["guaranteeing"]
    mean = half_probs["val"][:, rows].mean(0)
    right = mean.argmax(1) == val.labels[rows]
    rule = fit_referral_rule(1 - mean.max(1), right, target_risk=0.15)
    found = evaluation["referral_rule"]
    assert found["keeps"] == "below threshold"
    assert found["threshold"] == pytest.approx(rule.threshold)
    assert found["validation"]["coverage"] == pytest.approx(rule.coverage)
    test, labels = half_probs["test"].mean(0), load_analysis(folders["test"]).labels
    kept, wrong = 1 - test.max(1) < rule.threshold, test.argmax(1) != labels
    assert found["test"]["risk"] == pytest.approx(wrong[kept].mean())
    silent = (kept & wrong & (labels == 4)).sum() / (labels == 4).sum()
    assert found["test"]["missed_silently"] == pytest.approx(silent)
    assert "at least 95%" in found["guarantee"]
    assert "at most 15.0%" in found["guarantee"]


def test_each_image_is_kept_or_referred_and_has_its_sets(
    folders: dict[str, Path],
    half_probs: dict[str, np.ndarray],
    halves: dict[str, np.ndarray],
    evaluation: dict,
) -> None:
    val, rows = load_analysis(folders["val"]), halves["guaranteeing"]
    mean, labels = half_probs["val"][:, rows].mean(0), val.labels[rows]
    test = half_probs["test"].mean(0)
    table = pd.read_csv(folders["test"] / "tables" / "images.csv", keep_default_na=False)
    rule = fit_referral_rule(1 - mean.max(1), mean.argmax(1) == labels, target_risk=0.15)
    np.testing.assert_array_equal(table["referred"], ~rule.keeps(1 - test.max(1)))
    np.testing.assert_allclose(table["rule_score"], 1 - test.max(1), rtol=1e-5)
    assert table["rule_predicted"].tolist() == [NAMES[k] for k in test.argmax(1)]
    counted = evaluation["referral_rule"]["test"]
    assert (~table["referred"]).sum() == round(counted["coverage"] * counted["num_images"])
    wrong = (table["rule_predicted"] != table["label"])[~table["referred"]]
    assert wrong.mean() == pytest.approx(counted["risk"])
    for kind in ("marginal", "class_conditional"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = fit_conformal(mean, labels, class_conditional=kind == "class_conditional")
        held = table[f"set_lac_{kind}"].str.split(";")
        expected = [[NAMES[k] for k in np.flatnonzero(row)] for row in fit.sets(test)]
        assert [[name for name in names if name] for names in held] == expected
        covered = [label in names for label, names in zip(table["label"], held, strict=True)]
        everyone = evaluation["conformal"]["methods"]["lac"][kind]["all_images"]
        assert np.mean(covered) == pytest.approx(everyone["coverage"])
    legend = evaluation["acting"]
    assert set(legend) <= set(table)
    assert "target risk 0.15" in legend["referred"]
    assert "coverage 0.9 over all" in legend["set_lac_marginal"]


def test_the_report_has_lines_of_every_scored_image(
    folders: dict[str, Path], evaluation: dict
) -> None:
    decisions = read_decisions(folders["test"], evaluation)
    table = pd.read_csv(folders["test"] / "tables" / "images.csv", keep_default_na=False)
    assert list(decisions) == table["image_id"].tolist()
    threshold = evaluation["referral_rule"]["threshold"]
    for _, row in table.iterrows():
        decision = decisions[row["image_id"]]
        calibrated, referral, held = decision.lines
        assert decision.referred == row["referred"] == (row["rule_score"] >= threshold)
        assert calibrated == f"Calibrated: {row['predicted']} at {row['confidence']:.3f}"
        what = "Referred" if row["referred"] else f"Kept as {row['rule_predicted']}"
        side = "above" if row["rule_score"] > threshold else "below"
        assert referral == (
            f"{what}: 1 - p = {row['rule_score']:.4f} {side} the threshold {threshold:.4f} "
            "(target risk 15 %)"
        )
        names = ", ".join(row["set_lac_marginal"].split(";")) or "no class is probable enough"
        assert held == f"Set at 90 %: {names}"
    assert read_decisions(folders["test"], evaluation | {"acting": None}) == {}
    for keeps, words in (("none", "Referred, as every image"), ("all", "Kept as nv, as every")):
        rule = evaluation["referral_rule"] | {"keeps": keeps, "threshold": None}
        lines = [
            part.lines[1]
            for part in read_decisions(
                folders["test"], evaluation | {"referral_rule": rule}
            ).values()
        ]
        assert any(line.startswith(words) for line in lines)


def test_conformal_thresholds_coverage_and_bands(
    folders: dict[str, Path],
    half_probs: dict[str, np.ndarray],
    halves: dict[str, np.ndarray],
    evaluation: dict,
) -> None:
    val, rows = load_analysis(folders["val"]), halves["guaranteeing"]
    mean, labels = half_probs["val"][:, rows].mean(0), val.labels[rows]
    scores = np.sort(1 - mean[np.arange(len(rows)), labels])
    threshold = scores[int(np.ceil((len(rows) + 1) * 0.9)) - 1]
    found = evaluation["conformal"]
    lac = found["methods"]["lac"]["marginal"]
    assert lac["by_class"]["nv"]["threshold"] == pytest.approx(threshold)
    test, truth = half_probs["test"].mean(0), load_analysis(folders["test"]).labels
    covered = 1 - test[np.arange(len(truth)), truth] <= threshold
    assert lac["all_images"]["coverage"] == pytest.approx(covered.mean())
    groups = load_analysis(folders["test"]).predictions["group"]
    assert found["num_images"] == groups.nunique() == lac["num_images"]
    assert lac["band"] == list(coverage_band(len(rows), groups.nunique(), alpha=0.1))
    assert lac["band"][0] <= lac["coverage"] <= lac["band"][1]
    assert sum(lac["share_of_sizes"]) == pytest.approx(1)
    sizes = np.arange(8) @ lac["share_of_sizes"]
    assert sizes == pytest.approx(lac["mean_size"])
    by_class = found["methods"]["aps"]["class_conditional"]["by_class"]
    assert by_class["nv"]["num_validation"] == (labels == 5).sum()
    assert by_class["df"]["threshold"] is None  # too few validation images: in every set
    assert by_class["df"]["coverage"] in (None, 1.0)
    assert any("class_conditional" in note and "df (" in note for note in evaluation["notes"])
    strata = lac["by_stratum"]
    assert sum(part["num_images"] for part in strata.values()) == groups.nunique()
    whole = sum(part["num_images"] * part["coverage"] for part in strata.values())
    assert whole / groups.nunique() == pytest.approx(lac["coverage"])


def test_strata_have_their_own_scores(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    records = pd.read_parquet(folders["test"] / "records.parquet")
    mean, labels = probs["test"].mean(0), load_analysis(folders["test"]).labels
    found = evaluation["strata"]["strata"]
    assert evaluation["strata"]["column"] == "localization"
    assert list(found)[0] == "back"  # the largest first
    for name, part in found.items():
        rows = (records["localization"] == name).to_numpy()
        accuracy = accuracy_score(labels[rows], mean[rows].argmax(1))
        assert part["num_images"] == rows.sum()
        assert part["num_groups"] == records["group"][rows].nunique()
        assert part["scores"]["accuracy"]["estimate"] == pytest.approx(accuracy)
        assert part["scores"]["negative_log_likelihood"]["estimate"] == pytest.approx(
            log_loss(labels[rows], mean[rows], labels=range(7))
        )
        assert part["few"] == (rows.sum() < 50)
    assert any("say little" in note and "scalp (" in note for note in evaluation["notes"])


def test_numbers_are_cut_into_quarters_and_missing_values_are_a_stratum(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    records = pd.read_parquet(folder / "records.parquet")
    records.loc[:9, "age"] = np.nan
    records.to_parquet(folder / "records.parquet")
    found = evaluate_folder(folder, strata="age")["strata"]["strata"]
    assert found["missing"]["num_images"] == 10
    assert len(found) == 5
    first = np.nanquantile(records["age"], 0.25)
    low = found[f"{records['age'].min():g} <= x <= {first:g}"]
    assert low["num_images"] == (records["age"] <= first).sum()


def test_a_few_numbers_are_strata_of_their_own_without_idle_decimals(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    records = pd.read_parquet(folder / "records.parquet")
    records["age"] = np.resize([55.0, 60.0, 62.5, np.nan], len(records))
    records.to_parquet(folder / "records.parquet")
    names = find_strata(load_analysis(folder), "age", np.arange(400))
    assert names.tolist() == ["55", "60", "62.5", "missing"] * 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strata": "colour"}, r"column of the records .*sex, localization, age; got 'colour'"),
        ({"strata": "path"}, r"column of the records .*; got 'path'"),
        ({"class_of_concern": "cat"}, r"class of concern must be one of akiec, .*; got 'cat'"),
        ({"coverage": 90}, r"`coverage` must lie strictly .* got 90\. Is it a percentage\?"),
        ({"target_risk": 0}, "`target_risk` must lie strictly between 0 and 1; got 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folders: dict[str, Path], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_folder(folders["test"], **options)


def test_distance_in_feature_space_finds_images_from_elsewhere(
    folders: dict[str, Path], probs: dict[str, np.ndarray], evaluation: dict
) -> None:
    analyses = {name: load_analysis(folder) for name, folder in folders.items()}
    features = {
        name: analysis.features(np.arange(len(analysis.predictions))).astype(float)
        for name, analysis in analyses.items()
    }
    parts = choose_parts(analyses["test"], folders["val"], seed=5)
    rows = parts.calibrating
    known, labels = features["val"][rows], analyses["val"].labels[rows]
    means = np.stack([known[labels == k].mean(0) for k in np.unique(labels)])
    residuals = known - means[np.searchsorted(np.unique(labels), labels)]
    inverse = np.linalg.inv(ledoit_wolf(residuals, assume_centered=True)[0])

    def distance(part: np.ndarray) -> np.ndarray:
        away = part[:, np.newaxis] - means
        return np.sqrt(np.einsum("nkf,fg,nkg->nk", away, inverse, away).min(1))

    near, far = distance(features["test"]), distance(features["ood"])
    found = evaluation["ood"]["detection"]["calibrated"]
    truth = np.repeat([0, 1], [len(near), len(far)])
    expected = roc_auc_score(truth, np.concatenate([near, far]))
    assert found["feature_distance"]["auroc"]["estimate"] == pytest.approx(expected)
    accepted = far <= np.sort(near)[int(0.95 * len(near)) - 1]
    rate = found["feature_distance"]["false_positive_rate"]
    assert rate["estimate"] == pytest.approx(accepted.mean())
    described = {"kind": "mahalanobis", "fitted_on": "val", "num_images": len(rows)}
    assert evaluation["ood"]["feature_distance"] == described
    scores = np.concatenate([variation_ratio(probs[name]) for name in ("test", "ood")])
    area = found["variation_ratio"]["auroc"]
    assert area["estimate"] == pytest.approx(roc_auc_score(truth, scores))
    groups = (analyses[name].predictions["group"] for name in ("test", "ood"))
    inside, outside = scores[:400], scores[400:]
    drawn = bootstrap_shift({"ratio": inside}, {"ratio": outside}, *groups, seed=5)["ratio"]
    expected = np.quantile(drawn.auroc_resamples, [0.025, 0.975])
    assert [area["lower"], area["upper"]] == pytest.approx(expected)
    table = pd.read_csv(folders["test"] / "tables" / "ood.csv", index_col="score")
    row = table.loc["feature_distance", ["FPR at 95 % TPR", *bounds("FPR at 95 % TPR")]]
    assert row.tolist() == pytest.approx(list(rate.values()))
    assert set(found) == {*evaluation["referral"]["calibrated"], "feature_distance"}


def test_validation_groups_that_are_scored_are_named_and_fit_nothing(
    folders: dict[str, Path], tmp_path: Path, evaluation: dict
) -> None:
    folder = shutil.copytree(folders["val"], tmp_path / "val")
    table = pd.read_parquet(folder / "predictions.parquet")
    groups = load_analysis(folders["test"]).predictions["group"]
    table.loc[:2, "group"] = groups.iloc[0]
    table.to_parquet(folder / "predictions.parquet")
    with pytest.warns(UserWarning, match=f"1 groups .*: {groups.iloc[0]}. Their 3 validation"):
        found = evaluate_folder(folders["test"], calibration=folder, seed=5)
    numbers = found["parts"]
    parts = choose_parts(load_analysis(folders["test"]), folder, seed=5)
    assert not set(parts.calibrating) & {0, 1, 2}
    assert not set(parts.guaranteeing) & {0, 1, 2}
    assert numbers["calibrating"]["num_images"] == len(parts.calibrating)
    assert found["notes"][0].startswith("1 groups (lesions or patients)")


def test_one_draw_leaves_out_what_compares_draws(writer: ModuleType, tmp_path: Path) -> None:
    options = {"num_draws": 1, "num_features": 8}
    folder = writer.write_analysis(tmp_path / "one", 120, seed=1, **options)
    val = writer.write_analysis(tmp_path / "val", 120, split="val", seed=2, **options)
    foreign = writer.write_analysis(tmp_path / "ood", 60, split=None, seed=3, **options)
    with pytest.warns(UserWarning, match="S = 1: the analysis has one draw.*mutual information"):
        found = evaluate_folder(folder, calibration=val, ood=foreign)
    assert [note for note in found["notes"] if "S = 1" in note] == found["notes"][:1]
    expected = {"1 - confidence", "predictive_entropy", "total_variance"}
    assert set(found["referral"]["calibrated"]) == set(found["measures"]["scores"]) == expected
    assert found["measures"]["scores"]["predictive_entropy"]["monte_carlo_error"] is None
    assert found["measures"]["draws"] is None
    assert found["conformal"]["methods"]["lac"]["marginal"]["coverage"] > 0.7
    assert found["num_samples"] == 1


def test_broken_logits_and_unknown_labels_are_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    table = pd.read_parquet(folder / "predictions.parquet")
    table.loc[[3, 4], "label"] = "wart"
    table.to_parquet(folder / "predictions.parquet")
    found = evaluate_folder(folder)
    assert found["scored"]["num_images"] == 398
    assert any("2 images have a label that is no class" in note for note in found["notes"])
    assert any("(wart)" in note for note in found["notes"])
    store = zarr.open_array(folder / "analysis.zarr" / "logits", mode="r+", zarr_format=2)
    store[2, 17, 1] = np.nan
    with pytest.raises(InputError, match="those of image 'test_00017' are not"):
        evaluate_folder(folder)


def test_a_risk_that_cannot_be_promised_is_said_once(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    with pytest.warns(UserWarning, match="No threshold keeps the error rate") as caught:
        found = evaluate_folder(folder, calibration=folders["val"], target_risk=0.001)
    assert sum("threshold keeps" in str(warning.message) for warning in caught) == 1
    rule = found["referral_rule"]
    assert (rule["keeps"], rule["threshold"], rule["test"]["coverage"]) == ("none", None, 0.0)
    assert rule["guarantee"] in found["notes"]


def test_without_validation_images_nothing_is_promised(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    found = evaluate_folder(folder)
    assert (found["best"], found["conformal"], found["referral_rule"]) == ("raw", None, None)
    assert found["acting"] is None
    assert "referred" not in pd.read_csv(folder / "tables" / "images.csv")
    assert not (folder / "tables" / "conformal.csv").exists()
    assert not (folder / "figures" / "conformal.png").exists()


def test_command_prints_and_the_report_shows_what_was_found(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folders["test"], tmp_path / "copy")
    command = ["evaluate", str(folder), "--calibration", str(folders["val"]), "--strata", "sex"]
    command += ["--ood", str(folders["ood"]), "--concern", "mel", "--target-risk", "0.15"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(command) == 0
    said = capsys.readouterr()
    for words in ("aps class_conditional", "referral rule: keep", "feature_distance", "female"):
        assert words in said.out
    assert "S = 12 draws are too few for" in said.err
    stored = json.loads((folder / "evaluation.json").read_text())
    assert stored["class_of_concern"] == "mel"
    records = pd.read_parquet(folder / "records.parquet").assign(path="gone.jpg")
    records.to_parquet(folder / "records.parquet")
    page = report_folder(folder, num_cases=2, progress=False).read_text()
    for heading in (
        "By class (calibrated)",
        "Silent misses of mel",
        "Sensitivity for mel",
        "Conformal sets: coverage by",
    ):
        assert heading in page
    assert "Of the cases shown here: S = 12 draws are too few" in page
    assert "Referral rule: keep an image if 1 - confidence &lt;" in page
    assert page.count("<figure>") == 7
    stored["schema"] = 1
    (folder / "evaluation.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match="another bayescam: run bayescam evaluate"):
        report_folder(folder, num_cases=2, progress=False)
    assert main(["evaluate", str(folder), "--strata", "colour"]) == 2
    assert "sex, localization, age; got 'colour'" in capsys.readouterr().err
