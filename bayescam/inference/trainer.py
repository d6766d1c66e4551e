"""One stage of training: steps on cached features, validation, and the best epoch so far."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras

from bayescam.inference.checkpoint import Checkpoint
from bayescam.inference.draws import run_suffix
from bayescam.inference.elbo import class_weights, kl_divergence, kl_warmup, weighted_cross_entropy
from bayescam.inference.features import FeatureCache, ProgressReport
from bayescam.inference.posterior import draw_posterior
from bayescam.inference.split import split_network
from bayescam.inference.stages import Stage, frozen_batch_norm
from bayescam.inference.tensorboard import EpochReport
from bayescam.models.layers import SampledDropout
from bayescam.models.mean_field import MeanFieldDense
from bayescam.models.prior import layers_with_prior, negative_log_prior
from bayescam.models.variational import variational_layers
from bayescam.types import Array, InputError, check_share, check_whole_number

__all__ = ["StageTrainer", "TrainingSettings"]

_COUNTING = (MeanFieldDense, SampledDropout)
BATCH = 256  # images per step where nothing is trained
_LEAST = {
    **dict.fromkeys(("seed", "fine_tune_layers", "kl_warmup_epochs"), 0),
    **dict.fromkeys(("num_views", "batch_size", "head_epochs", "fine_tune_epochs"), 1),
    **dict.fromkeys(("patience", "validation_samples"), 1),
}
_CHUNK_BYTES, _CHUNK_STEPS = 1 << 24, 100  # most features and most steps of one call


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; all defaults of training are here.

    Attributes:
        seed: Fixes the order of images, the choice of views and the validation draws.
        num_views: Views of each training image, the first without augmentation.
        class_weight_power: Class weights are `frequency ** -power`; 0 for none.
        batch_size: Images per step.
        head_epochs: Epochs of the head on cached features, at most.
        head_learning_rate: Adam's, at its peak.
        fine_tune_layers: Last n layers of the backbone to train after the head, 0 for none.
        fine_tune_epochs: Epochs of fine-tuning, at most.
        fine_tune_learning_rate: Adam's, at its peak.
        kl_warmup_epochs: Epochs over which the KL divergence comes in, at most half of a stage's;
            none of them is kept as the best.
        average_decay: Weights are averaged over steps with this decay (Polyak averaging); the
            average is what is validated and kept. 0 for none.
        patience: Epochs without a better validation log-likelihood before a stage stops.
        validation_samples: Posterior draws in the validation log-likelihood.
        cache: Where features are kept: on "disk" (in the work folder) or in "memory".
    """

    seed: int = 0
    num_views: int = 4
    class_weight_power: float = 0.5
    batch_size: int = 32
    head_epochs: int = 40
    head_learning_rate: float = 1e-3
    fine_tune_layers: int = 0
    fine_tune_epochs: int = 12
    fine_tune_learning_rate: float = 3e-4
    kl_warmup_epochs: int = 3
    average_decay: float = 0.998
    patience: int = 5
    validation_samples: int = 20
    cache: Literal["disk", "memory"] = "disk"

    def __post_init__(self) -> None:
        """Refuses what cannot be trained with."""
        for name, least in _LEAST.items():
            check_whole_number(name, getattr(self, name), least=least)
        for name in ("head_learning_rate", "fine_tune_learning_rate"):
            _check_number(name, getattr(self, name), lambda rate: 0 < rate < np.inf, "positive")
        _check_number("class_weight_power", self.class_weight_power, lambda x: x >= 0, "0 or more")
        check_share("average_decay", self.average_decay, bounds="[)")
        if self.cache not in ("disk", "memory"):
            raise InputError(f'`cache` must be "disk" or "memory"; got {self.cache!r}')


class StageTrainer:
    """One stage: its variables, their averages, the optimiser, and the best epoch so far."""

    def __init__(
        self,
        model: tf_keras.Model,
        stage: Stage,
        arrays: tuple[FeatureCache, FeatureCache],
        labels: tuple[Array, Array],
        settings: TrainingSettings,
    ) -> None:
        self.model, self.stage, self.settings = model, stage, settings
        self.split = split = split_network(model)
        (self.train, self.val), (self.labels, self.val_labels) = arrays, labels
        self.variables = stage.variables
        self.averages = [tf.Variable(variable) for variable in self.variables]
        fine = stage.name == "fine-tune"
        self.epochs = settings.fine_tune_epochs if fine else settings.head_epochs
        rate = settings.fine_tune_learning_rate if fine else settings.head_learning_rate
        self.optimizer = tf_keras.optimizers.Adam(_schedule(rate, self.epochs * self.num_steps))
        self.optimizer.build(self.variables)
        self.layers = [layer for layer in variational_layers(model) if layer in stage.layers]
        self.points = layers_with_prior(stage.layers)
        self.warmup = min(settings.kl_warmup_epochs, self.epochs // 2) if self.layers else 0
        self.weights = tf.constant(
            class_weights(self.labels, split.num_classes, settings.class_weight_power)
        )
        self.kl_scale = tf.Variable(0.0, trainable=False)
        self.steps = tf.function(self._steps, input_signature=self._batch_signature())
        self.to_features = tf.function(split.graph.submodel(stage.source, split.features))

    @property
    def num_steps(self) -> int:
        """Steps per epoch; the last batch may be smaller."""
        return -(-len(self.labels) // self.settings.batch_size)

    def run(
        self,
        checkpoint: Checkpoint,
        report: ProgressReport | None,
        on_epoch: EpochReport | None = None,
    ) -> list[dict[str, Any]]:
        """Trains to the end or to the end of patience; leaves the best weights in the model.

        `on_epoch` is told the rows of a killed training first, if this one carries on.
        """
        tell = on_epoch or (lambda row: None)
        state = {
            "variables": self.variables,
            "averages": self.averages,
            "optimizer": self.optimizer.variables,
            "calls": [layer.calls for layer in self.stage.layers if isinstance(layer, _COUNTING)],
        }
        history, best = checkpoint.restore(state)
        for row in history:
            tell(row)
        for epoch in range(len(history), self.epochs):
            if _out_of_patience(history[self.warmup :], self.settings.patience):
                break
            with frozen_batch_norm(self.stage.network):
                row = self._epoch(epoch, report)
            if not np.isfinite([row["loss"], row["validation_log_likelihood"]]).all():
                raise InputError(
                    f"training diverged in epoch {epoch + 1} of the {self.stage.name} stage; "
                    "try a smaller learning rate"
                )
            likelihoods = [past["validation_log_likelihood"] for past in history[self.warmup :]]
            history.append(row)
            if not likelihoods or row["validation_log_likelihood"] > max(likelihoods):
                best = [average.numpy() for average in self.averages]
            checkpoint.write(state, history, best)
            tell(row)
        for variable, value in zip(self.variables, best, strict=True):
            variable.assign(value)
        return history

    def _epoch(self, epoch: int, report: ProgressReport | None) -> dict[str, Any]:
        started = time.monotonic()
        self.kl_scale.assign(kl_warmup(epoch, self.warmup) / len(self.labels))
        losses: list[float] = []
        for features, labels in self._batches(epoch):
            losses += self.steps(features, labels).numpy().tolist()
            if report is not None:
                note = f"epoch {epoch + 1}/{self.epochs}"
                report(self.stage.name, epoch * self.num_steps + len(losses), self.total, note)
        likelihood, accuracy = self._validate()
        return {
            "stage": self.stage.name,
            "epoch": epoch + 1,
            "loss": float(np.mean(losses)),
            "kl_divergence": float(kl_divergence(self.layers)),
            "validation_log_likelihood": likelihood,
            "validation_accuracy": accuracy,
            "seconds": round(time.monotonic() - started, 2),
        }

    @property
    def total(self) -> int:
        """Steps of the whole stage."""
        return self.epochs * self.num_steps

    def _batches(self, epoch: int) -> Iterator[tuple[Array, Array]]:
        """Batches (k, B, ...) in an order that only the seed, the stage and the epoch decide.

        Small features come as many batches at once, since a call costs more than a step.
        """
        rng = np.random.default_rng([self.settings.seed, len(self.stage.name), epoch])
        order = rng.permutation(len(self.labels))
        size = self.settings.batch_size
        item = self.train.values[0, :1]
        at_once = int(np.clip(_CHUNK_BYTES // (size * item.nbytes), 1, _CHUNK_STEPS))
        whole = len(order) // size * size
        cuts = [*range(0, whole, at_once * size), whole, len(order)]
        for start, stop in zip(cuts, cuts[1:], strict=False):
            if start < stop:
                chosen = order[start:stop].reshape(-1, min(size, stop - start))
                views = (chosen + epoch) % self.train.num_views
                yield self.train.rows(views, chosen), self.labels[chosen]

    def _batch_signature(self) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """Of batches (k, B, ...), any k and B: traced once, whatever is left for the last batch."""
        row = self.train.rows(np.zeros(1, int), np.zeros(1, int))
        features = tf.TensorSpec((None, None, *row.shape[1:]), row.dtype)
        return features, tf.TensorSpec((None, None), self.labels.dtype)

    def _steps(self, features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Takes one step for each batch of (k, B, ...) and returns the losses (k,)."""
        losses = tf.TensorArray(tf.float32, size=tf.shape(labels)[0])
        for i in tf.range(tf.shape(labels)[0]):
            losses = losses.write(i, self._step(features[i], labels[i]))
        return losses.stack()

    def _step(self, features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self.stage.network(tf.cast(features, tf.float32), training=True)
            loss = weighted_cross_entropy(logits, labels, self.weights)
            nats = kl_divergence(self.layers) + negative_log_prior(self.points)
            loss += self.kl_scale * nats
        gradients = tape.gradient(loss, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        count = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.settings.average_decay, count / (count + 10.0))
        for average, variable in zip(self.averages, self.variables, strict=True):
            average.assign_sub((1.0 - decay) * (average - variable))
        return loss

    def _validate(self) -> tuple[float, float]:
        """Log-likelihood per image and accuracy of the averaged weights' predictive mean."""
        kept = [variable.numpy() for variable in self.variables]
        for variable, average in zip(self.variables, self.averages, strict=True):
            variable.assign(average)
        try:
            return self._predictive_scores()
        finally:
            for variable, value in zip(self.variables, kept, strict=True):
                variable.assign(value)

    def _predictive_scores(self) -> tuple[float, float]:
        num = self.settings.validation_samples if self.split.stochastic else 1
        weights = draw_posterior(self.model, num, seed=self.settings.seed).weights()
        blocks = []
        at_once = max(BATCH, _CHUNK_BYTES // self.val.values[0, :1].nbytes)
        for i in range(0, len(self.val_labels), at_once):
            batch = tf.cast(self.val.values[0, i : i + at_once], tf.float32)
            logits = run_suffix(self.split, self.to_features(batch), weights)
            mean = tf.reduce_logsumexp(tf.nn.log_softmax(logits), axis=0) - np.log(num)
            blocks.append(mean.numpy())
        log_probs = np.concatenate(blocks)
        likelihood = log_probs[np.arange(len(log_probs)), self.val_labels].mean()
        return float(likelihood), float((log_probs.argmax(axis=1) == self.val_labels).mean())


def _schedule(rate: float, steps: int) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """A short linear warm-up, then a cosine to one hundredth of the peak."""
    warmup = max(1, min(200, steps // 10))
    return tf_keras.optimizers.schedules.CosineDecay(
        rate / 100, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
    )


def _out_of_patience(history: list[dict[str, Any]], patience: int) -> bool:
    likelihoods = [row["validation_log_likelihood"] for row in history]
    return bool(likelihoods) and len(likelihoods) - 1 - int(np.argmax(likelihoods)) >= patience


def _check_number(name: str, value: object, fits: Callable[[float], bool], rule: str) -> None:
    if not isinstance(value, numbers.Real) or not fits(float(value)):
        raise InputError(f"`{name}` must be a number, {rule}; got {value!r}")
