"""What a map explains: a score of the logits, and how it changes with them.

With `p = softmax(z)` of one draw, `e_t` the unit vector of class `t` and `m` the mean of `p` over
the draws, the slopes `ds/dz` are

- logit `z_t`: `e_t`; contrast `z_a - z_b`: `e_a - e_b`;
- probability `p_t`: `p_t (e_t - p)`; log-odds `log p_t / (1 - p_t)`: `e_t - q`, where `q` is the
  softmax of the other classes;
- predictive entropy `H[m]` and mutual information `H[m] - mean_s H[p_s]`, which belong to all draws
  together: each draw contributes `sum_k v_k dp_k/dz`, with `v = -log m` and `v = log p - log m`,
  and the mean of these contributions over the draws is the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from bayescam.types import InputError

__all__ = [
    "Target",
    "TargetKind",
    "as_targets",
    "linear_slopes",
    "parse_target",
    "score_slopes",
    "score_values",
]

TargetKind = Literal[
    "logit", "probability", "log_odds", "contrast", "predictive_entropy", "mutual_information"
]
_OF_ONE_CLASS: dict[str, TargetKind] = {"probability": "probability", "log_odds": "log_odds"}
_OF_ALL_DRAWS: dict[str, TargetKind] = {
    "predictive_entropy": "predictive_entropy",
    "mutual_information": "mutual_information",
}


@dataclass(frozen=True)
class Target:
    """A score of the logits.

    Attributes:
        kind: Which score.
        classes: The class it is of; two for a contrast, none for an uncertainty.
        name: As it is written in tables and figures.
    """

    kind: TargetKind
    classes: tuple[int, ...]
    name: str

    @classmethod
    def of_class(cls, index: int, name: str | None = None) -> Target:
        """The logit of a class."""
        return cls("logit", (index,), f"class {index}" if name is None else name)

    @property
    def is_linear(self) -> bool:
        """Whether the slope is the same for all logits."""
        return self.kind in ("logit", "contrast")

    @property
    def is_of_all_draws(self) -> bool:
        """Whether one draw alone does not have it: an uncertainty."""
        return self.kind in _OF_ALL_DRAWS


def parse_target(text: str, class_names: Sequence[str]) -> Target:
    """Returns the target that a text names.

    Args:
        text: A class name (its logit), "mel - nv" (contrast), "probability(mel)", "log_odds(mel)",
            "predictive_entropy" or "mutual_information".
        class_names: Names of the K classes; one that looks like another form comes first.

    Raises:
        InputError: If it is none of these.

    Example:
        >>> parse_target("mel - nv", ["nv", "mel"])
        Target(kind='contrast', classes=(1, 0), name='mel - nv')
    """
    names = list(class_names)
    if text in names:
        return Target.of_class(names.index(text), text)
    if text in _OF_ALL_DRAWS:
        return Target(_OF_ALL_DRAWS[text], (), text)
    kind, bracket, inner = text.partition("(")
    if kind in _OF_ONE_CLASS and bracket and inner[:-1] in names and inner.endswith(")"):
        return Target(_OF_ONE_CLASS[kind], (names.index(inner[:-1]),), text)
    for place in range(len(text)):
        if text.startswith(" - ", place):
            first, second = text[:place], text[place + 3 :]
            if first in names and second in names and first != second:
                return Target("contrast", (names.index(first), names.index(second)), text)
    raise InputError(
        f"`targets` must be classes of the model ({', '.join(names)}), a contrast "
        f'"{names[0]} - {names[-1]}", "probability({names[0]})", "log_odds({names[0]})", '
        f'"predictive_entropy" or "mutual_information"; got {text!r}'
    )


def as_targets(targets: Sequence[int | Target] | None, num_classes: int) -> tuple[Target, ...]:
    """Returns the targets; a class index stands for its logit, and None for those of all classes.

    Raises:
        InputError: If there are none, or one is of no class of the model.
    """
    classes = range(num_classes)
    given = tuple(classes if targets is None else targets)
    wrong = [
        each
        for target in given
        for each in (target.classes if isinstance(target, Target) else (target,))
        if each not in classes
    ]
    if wrong or not given:
        raise InputError(
            f"`targets` must be class indices 0 to {num_classes - 1}; got {wrong or list(given)}"
        )
    return tuple(t if isinstance(t, Target) else Target.of_class(int(t)) for t in given)


def score_slopes(
    targets: Sequence[Target], logits: tf.Tensor, log_mean_probs: tf.Tensor | None
) -> tf.Tensor:
    """Returns the slopes of the targets in the logits, (S, N, T, K).

    Args:
        targets: The scores, T of them.
        logits: Of the draws, (S, N, K).
        log_mean_probs: Logarithms of the mean probabilities (N, K) over all draws; needed where a
            target is of all draws.
    """
    log_probs = tf.nn.log_softmax(logits)
    slopes = [_slope(target, logits, log_probs, log_mean_probs) for target in targets]
    return tf.stack([tf.broadcast_to(slope, tf.shape(logits)) for slope in slopes], axis=2)


def score_values(targets: Sequence[Target], logits: tf.Tensor) -> tf.Tensor:
    """Returns the targets themselves, (S, N, T), for the logits (S, N, K) of all draws.

    An uncertainty, which the draws have together, is the same for each of them.
    """
    logits = tf.convert_to_tensor(logits)
    log_probs = tf.nn.log_softmax(logits)
    values = [_value(target, logits, log_probs) for target in targets]
    return tf.stack([tf.broadcast_to(value, logits.shape[:2]) for value in values], axis=2)


def linear_slopes(targets: Sequence[Target], num_classes: int) -> tf.Tensor:
    """Returns the slopes (T, K) of targets that are linear in the logits."""
    return tf.stack([_unit_difference(target, num_classes) for target in targets])


def _unit_difference(target: Target, num_classes: int) -> tf.Tensor:
    first, *second = (tf.one_hot(index, num_classes) for index in target.classes)
    return first - second[0] if second else first


def _slope(
    target: Target, logits: tf.Tensor, log_probs: tf.Tensor, log_mean_probs: tf.Tensor | None
) -> tf.Tensor:
    num_classes = logits.shape[-1]
    if target.is_linear:
        return _unit_difference(target, num_classes)
    if target.is_of_all_draws:
        assert log_mean_probs is not None
        values = -log_mean_probs
        if target.kind == "mutual_information":
            values += log_probs
        return _through_softmax(values, tf.exp(log_probs))
    unit = tf.one_hot(target.classes[0], num_classes)
    if target.kind == "probability":
        return _through_softmax(unit, tf.exp(log_probs))
    others = tf.where(unit > 0, logits.dtype.min, logits)
    return unit - tf.nn.softmax(others)


def _value(target: Target, logits: tf.Tensor, log_probs: tf.Tensor) -> tf.Tensor:
    if target.is_linear:
        return tf.linalg.matvec(logits, _unit_difference(target, logits.shape[-1]))
    if target.is_of_all_draws:
        log_mean = tf.reduce_logsumexp(log_probs, axis=0) - tf.math.log(float(logits.shape[0]))
        total = _entropy(log_mean)
        if target.kind == "mutual_information":
            total -= tf.reduce_mean(_entropy(log_probs), axis=0)
        return total
    of_class = log_probs[..., target.classes[0]]
    if target.kind == "probability":
        return tf.exp(of_class)
    unit = tf.one_hot(target.classes[0], logits.shape[-1])
    others = tf.where(unit > 0, logits.dtype.min, log_probs)
    return of_class - tf.reduce_logsumexp(others, axis=-1)


def _entropy(log_probs: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=-1)


def _through_softmax(values: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """`sum_k v_k dp_k/dz_j = p_j (v_j - sum_k v_k p_k)`."""
    return probs * (values - tf.reduce_sum(values * probs, axis=-1, keepdims=True))
