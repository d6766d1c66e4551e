"""What is said of each image: kept or referred, its sets, its lines in the report."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayescam.cli import main
from bayescam.types import InputError
from bayescam.uncertainty import fit_conformal, fit_referral_rule
from bayescam.workflows.acting import read_decisions
from bayescam.workflows.finished import load_analysis
from bayescam.workflows.report import report_folder

NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes of small evaluations


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
    table = pd.read_parquet(folders["test"] / "tables" / "images.parquet")
    assert list(decisions) == table["image_id"].tolist()
    threshold = evaluation["referral_rule"]["threshold"]
    for _, row in table.iterrows():
        decision = decisions[row["image_id"]]
        calibrated, referral, held = decision.lines
        assert decision.held == tuple(name for name in row["set_lac_marginal"].split(";") if name)
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
