"""What is known beside the image, such as age, sex and site, as a prior of the classes.

If the image x and the covariates c are independent within each class, Bayes' rule gives

    p(k | x, c)  =  p(k | x) * p(k | c) / p(k)  /  sum_j p(j | x) * p(j | c) / p(j),

so that `log p(k | c) - log p(k)` is added to the logits of every draw, and draws stay draws. They
are not quite independent: what a network sees of aged skin would be counted twice. A power of the
factor below 1 allows for that (as in Grünwald 2012, "The safe Bayesian"), chosen on validation
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy.special import softmax
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

from bayescam.types import InputError
from bayescam.uncertainty.calibration import cross_fit_logits
from bayescam.uncertainty.validation import check_labels, check_logits

__all__ = ["CovariatePrior", "choose_prior_weight", "fit_covariate_prior"]

PRIOR_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class CovariatePrior:
    """`log p(k | c) - log p(k)`, from the columns of a table.

    Attributes:
        columns: what is looked at.
        class_names: K names.
        log_shares: (K,), log of the share of each class in the records of the fit.
    """

    columns: tuple[str, ...]
    class_names: tuple[str, ...]
    log_shares: NDArray[np.float64]
    _numbers: tuple[str, ...] = field(repr=False)
    _model: Pipeline = field(repr=False)

    def log_ratio(self, records: pd.DataFrame) -> NDArray[np.float64]:
        """`log p(k | c) - log p(k)`, shape (N, K); add it, or a part of it, to logits (S, N, K).

        A value that no record of the fit had says nothing; a missing one is a value of its own. A
        class without records in the fit keeps 0.

        Raises:
            InputError: if a column is missing, or no number where the fit had numbers.
        """
        _check_columns(records, self.columns)
        ratio = np.zeros((len(records), len(self.class_names)))
        if len(records):
            seen = self._model.classes_
            ratio[:, seen] = self._model.predict_log_proba(
                _covariates(records, self.columns, self._numbers)
            )
            ratio[:, seen] -= self.log_shares[seen]
        return ratio


def fit_covariate_prior(
    records: pd.DataFrame, columns: Sequence[str], class_names: Sequence[str]
) -> CovariatePrior:
    """The share of each class given some columns of the records: multinomial logistic regression.

    Numbers enter as cubic splines of three pieces, everything else as categories. Fit on
    training records; a fit on records that are scored would know their labels.

    Args:
        records: with `label` and the columns; the images are not looked at.
        columns: such as age, sex and site; never a column that stands for the label.
        class_names: the K classes.

    Raises:
        InputError: no columns or not those, labels that are no classes, or fewer than two classes.

    Example:
        >>> records = pd.DataFrame({"sex": ["f", "m"] * 50, "label": ["nv", "mel"] * 50})
        >>> prior = fit_covariate_prior(records, ["sex"], ["mel", "nv"])
        >>> prior.log_ratio(records[:2]).round(1)
        array([[-2.2,  0.6],
               [ 0.6, -2.2]])
    """
    names, chosen = tuple(class_names), tuple(columns)
    if not chosen or "label" in chosen:
        raise InputError(f"`columns` must name columns other than label; got {list(chosen)}.")
    _check_columns(records, [*chosen, "label"])
    labels, numbers = records["label"], tuple(n for n in chosen if _is_number(records[n]))
    strange = [label for label in labels.unique() if label not in names]
    if strange:
        raise InputError(f"`records` must have labels of `class_names`; got {strange[0]!r}.")
    codes = labels.map({name: k for k, name in enumerate(names)}).to_numpy(np.int64)
    counts = np.bincount(codes, minlength=len(names))
    if (counts > 0).sum() < 2:
        raise InputError(f"`records` must hold two classes or more; got {np.unique(labels)}.")
    numeric = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        SplineTransformer(n_knots=4, extrapolation="constant"),
    )
    categories = [name for name in chosen if name not in numbers]
    encoded = ColumnTransformer(
        [
            ("numbers", numeric, numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
        ]
    )
    table = _covariates(records, chosen, numbers)
    model = make_pipeline(encoded, LogisticRegression(max_iter=2000)).fit(table, codes)
    with np.errstate(divide="ignore"):
        return CovariatePrior(chosen, names, np.log(counts / counts.sum()), numbers, model)


def choose_prior_weight(
    logits: ArrayLike,
    log_ratio: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[object] | ArrayLike,
    *,
    weights: Sequence[float] = PRIOR_WEIGHTS,
    bias_penalty: float = 1.0,
    class_names: Sequence[str] | None = None,
) -> float:
    """The weight w for which `logits + w * log_ratio`, calibrated, makes the labels most likely.

    On validation images, each calibrated by a fit without its group, see `cross_fit_logits`.

    Args:
        logits: (S, N, K).
        log_ratio: (N, K), of `CovariatePrior.log_ratio`.
        labels: (N,), class indices.
        groups: (N,), lesions or patients.
        weights: to choose from; of equal ones the first.
        bias_penalty: as in `fit_calibration`.
        class_names: as in `fit_calibration`.

    Raises:
        InputError: as `cross_fit_logits`, a ratio of another shape, or no weights.
    """
    draws = check_logits(logits)
    truth = check_labels(labels, *draws.shape[1:])
    ratio = np.asarray(log_ratio, np.float64)
    if ratio.shape != draws.shape[1:] or not np.isfinite(ratio).all():
        raise InputError(
            f"`log_ratio` must be finite, of shape {draws.shape[1:]} as the logits; got "
            f"{ratio.shape}."
        )
    if not len(weights):
        raise InputError("`weights` must hold one or more numbers; got none.")

    def loss(weight: float) -> float:
        fitted = cross_fit_logits(
            draws + weight * ratio,
            truth,
            groups,
            bias_penalty=bias_penalty,
            class_names=class_names,
        )
        probs = softmax(fitted, axis=-1).mean(axis=0)
        return -float(np.log(probs[np.arange(len(truth)), truth]).mean())

    return min(weights, key=loss)


def _check_columns(records: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in records]
    if missing:
        known = ", ".join(map(str, records.columns))
        raise InputError(f"`records` has no column {missing[0]!r}; its columns are {known}.")


def _covariates(
    records: pd.DataFrame, columns: Sequence[str], numbers: Sequence[str]
) -> pd.DataFrame:
    """The columns, numbers as floats and all else as strings; "nan" where there is none."""
    table: dict[str, Any] = {}
    for name in columns:
        if name not in numbers:
            values = records[name].astype("object")
            table[name] = values.where(values.notna(), "nan").astype(str)
            continue
        try:
            table[name] = pd.to_numeric(records[name]).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"`records` must have numbers in {name!r}: {error}.") from error
    return pd.DataFrame(table)


def _is_number(column: pd.Series) -> bool:
    return bool(is_numeric_dtype(column) and not is_bool_dtype(column))
