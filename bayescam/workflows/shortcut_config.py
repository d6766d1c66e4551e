"""What is planted where, and what is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bayescam.data import Artefact, parse_source
from bayescam.inference.training import TrainingSettings
from bayescam.models.heads import HeadKind

__all__ = ["ShortcutConfig"]

_PHANTOM_TRAINING = TrainingSettings(
    head_epochs=3,
    fine_tune_layers=18,
    fine_tune_epochs=12,
    fine_tune_learning_rate=2e-3,
    average_decay=0.99,
)
_PHANTOM_SHAPE, _SHAPE = (96, 128, 3), (224, 224, 3)
_X_RAYS = ("chest_xray", "covid", "chexpert", "mura")


@dataclass(frozen=True)
class ShortcutConfig:
    """What is planted where, and what is trained on it.

    Attributes:
        data: `KIND:PATH`; None for phantoms of skin lesions.
        artefact: What is planted; None for a laterality mark in X-rays, a ruler in other images.
        planted_class: The class that has it; None for the second most frequent.
        share: Of the images of that class.
        other_share: Of the images of the other classes.
        backbone: As in `build_classifier`; its weights stay as they are.
        weights: Likewise.
        head: Likewise.
        input_shape: Likewise; None for (224, 224, 3), of phantoms (96, 128, 3).
        num_samples: Posterior draws.
        training: How both models are trained; None for a head on frozen features, or for phantoms,
            whose small network has random weights, as in `bayescam demo`.
        num_images: Of the phantoms.
    """

    data: str | None = None
    artefact: Artefact | None = None
    planted_class: str | None = None
    share: float = 0.9
    other_share: float = 0.0
    backbone: str = "narrow_vgg"
    weights: str | None = None
    head: HeadKind = "flipout"
    input_shape: tuple[int, int, int] | None = None
    num_samples: int = 100
    training: TrainingSettings | None = None
    num_images: int = 800

    @property
    def planted(self) -> Artefact:
        """The artefact, chosen by the kind of data where none is named."""
        if self.artefact is not None:
            return self.artefact
        x_ray = self.data is not None and parse_source(self.data)[0] in _X_RAYS
        return "laterality_mark" if x_ray else "ruler"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The size of images, that of phantoms where there are no data."""
        return self.input_shape or (_PHANTOM_SHAPE if self.data is None else _SHAPE)

    def settings(self, seed: int) -> TrainingSettings:
        """How both models are trained with a seed, on one view of each image."""
        default = _PHANTOM_TRAINING if self.data is None else TrainingSettings()
        return replace(self.training or default, seed=seed, num_views=1)
