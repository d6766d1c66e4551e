"""What a training run was told to do: one place for the defaults, written to `config.yaml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_serializer

from bayescam.inference.training import TrainingSettings
from bayescam.models.compose import Pooling
from bayescam.models.heads import HeadKind
from bayescam.models.laplace import Covariance
from bayescam.types import InputError
from bayescam.workflows.folders import write_atomically

__all__ = ["AugmentationName", "DataConfig", "ModelConfig", "TrainConfig"]

AugmentationName = Literal["none", "skin", "chest"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which images.

    Attributes:
        source: `KIND:PATH`; `None` for records that were made in Python.
        published_split: keep the folders' own train and val where the reader cuts them again.
        split_seed: of the split, for runs of other seeds on the same one, such as the members of an
            ensemble; `None` for the seed of the run.
        augmentation: which random views the training images have.
        keep_identifiers: leave ids of patients and paths of DICOM images readable.
    """

    source: str | None = None
    published_split: bool = False
    split_seed: int | None = None
    augmentation: AugmentationName = "none"
    keep_identifiers: bool = False


class ModelConfig(_Section):
    """Which network; the arguments of `build_classifier`, None for the default of a head."""

    backbone: str = "vgg16"
    head: HeadKind = "flipout"
    weights: str | None = None
    input_shape: tuple[int, int, int] = (224, 224, 3)
    pooling: Pooling = "avg"
    hidden_units: tuple[int, ...] = ()
    prior_sd: float | None = None
    dropout_rate: float | None = None
    num_members: int | None = None
    covariance: Covariance | None = None


class TrainConfig(_Section):
    """A whole training run.

    Attributes:
        seed: of the split (unless `data.split_seed` is given), the first weights, the views, the
            order of images and the draws.
        data: which images.
        model: which network; `None` for a model that was made in Python.
        training: how to train; see `settings`, which has the seed.
    """

    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig | None = ModelConfig()
    training: TrainingSettings = TrainingSettings()

    @field_serializer("training")
    def _plain_training(self, training: TrainingSettings) -> dict[str, Any]:
        return {name: value for name, value in vars(training).items() if name != "seed"}

    @property
    def settings(self) -> TrainingSettings:
        """The training settings with the seed of the run."""
        return replace(self.training, seed=self.seed)

    def to_yaml(self) -> str:
        """Return the text of `config.yaml`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def write(self, path: Path) -> None:
        """Write `config.yaml` atomically."""
        write_atomically(path, lambda file: file.write_text(self.to_yaml()))

    @classmethod
    def parse(cls, text: str, *, name: str = "config.yaml") -> TrainConfig:
        """Return the configuration in the text of a `config.yaml`.

        Raises:
            InputError: a name or a value is not what it may be.

        Example:
            >>> TrainConfig.parse("seed: 3").settings.seed
            3
        """
        try:
            return cls.model_validate(yaml.safe_load(text) or {})
        except yaml.YAMLError as error:
            raise InputError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(f"{name}: {place}: {first['msg']}; got {first['input']!r}") from error
