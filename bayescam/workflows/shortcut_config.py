"""What is planted where, and what is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bayescam.data import Artefact, parse_source
from bayescam.inference.training import TrainingSettings
from bayescam.models.heads import HeadKind

__all__ = ["ShortcutConfig"]

_PHANTOM_LAYERS = 18
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
        fine_tune_layers: Last layers of the backbone to train after the head; None for none, or for
            all of the phantoms' narrow VGG.
        head_epochs: Epochs of a head, at most.
        fine_tune_epochs: Epochs of fine-tuning, at most.
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
    fine_tune_layers: int | None = None
    head_epochs: int = 40
    fine_tune_epochs: int = 12
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

    def training(self, seed: int) -> TrainingSettings:
        """The settings of both models; phantoms are trained as in `bayescam demo`."""
        settings = TrainingSettings(
            seed=seed,
            num_views=1,
            head_epochs=self.head_epochs,
            fine_tune_layers=self.fine_tune_layers or 0,
            fine_tune_epochs=self.fine_tune_epochs,
        )
        if self.data is not None or self.backbone != "narrow_vgg":
            return settings
        layers = _PHANTOM_LAYERS if self.fine_tune_layers is None else self.fine_tune_layers
        return replace(
            settings,
            fine_tune_layers=layers,
            fine_tune_learning_rate=2e-3,
            average_decay=0.99,
        )
