"""What `posterior_comparison.py` compares, and on what: everything that decides its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bayescam.inference.training import TrainingSettings

VARIATIONAL = ("flipout", "reparameterization", "local_reparameterization")
HEADS: dict[str, dict[str, Any]] = {
    "dense": {"head": "dense"},
    **{name: {"head": name} for name in VARIATIONAL},
    "dropout": {"head": "dropout"},
    "ensemble": {"head": "ensemble", "num_members": 5},
    "laplace, kronecker": {"head": "laplace", "covariance": "kronecker"},
    "laplace, full": {"head": "laplace", "covariance": "full"},
    "laplace, diagonal": {"head": "laplace", "covariance": "diagonal"},
}
CHOICES: dict[str, tuple[str, tuple[float, ...]]] = {
    "dense": ("prior_sd", (0.03, 0.06, 0.12)),
    "flipout": ("prior_sd", (0.05, 0.15, 0.5)),
    "dropout": ("dropout_rate", (0.2, 0.5)),
}
BIAS_PENALTY = 3.0  # of the calibration of every head
COVARIATES = ("age", "sex", "localization")  # of the patients with skin lesions
CONCERN = {"skin": "mel", "chest": "PNEUMONIA"}
PROBE = "linear probe (scikit-learn)"
REFERENCES = ("dense, fine-tuned", PROBE)


@dataclass(frozen=True)
class Config:
    """One comparison; everything that decides its numbers."""

    skin: str
    skin_run: str
    chest: str
    weights: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    splits: tuple[int, ...] = (0, 1, 2)
    num_samples: int = 100
    num_foreign: int = 200
    chest_backbone: str = "squeezenet"
    chest_shape: tuple[int, int, int] = (224, 224, 3)
    heads: tuple[str, ...] = tuple(HEADS)
    epochs: int = 40

    def training(self, seed: int) -> TrainingSettings:
        """Large batches, since there are hundreds of heads to train; no class weights.

        The posterior is that of the images as they are; the calibration sees to the rest.
        """
        return TrainingSettings(
            seed=seed,
            batch_size=128,
            head_epochs=self.epochs,
            head_learning_rate=1e-2,
            average_decay=0.995,
            patience=8,
            validation_samples=10,
            class_weight_power=0.0,
        )
