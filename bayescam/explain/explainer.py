"""Maps of posterior draws: one per draw, image and score, from one backbone pass.

The score of class `t` is its logit (never silently a softmax): Grad-CAM's channel weights are
`alpha_k = mean_ij dy_t / dA_ijk`, its map `sum_k alpha_k A_k` (Selvaraju et al. 2017, equations 1
and 2 without the final ReLU). Maps of every method stay signed and unnormalised, since relu and
scaling do not commute with averaging over draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.input_gradients import PATHS, InputExplainer
from bayescam.explain.layer_maps import LayerExplainer
from bayescam.explain.methods import MAP_METHODS, MapMethod
from bayescam.explain.model_explainer import ModelExplainer, PassReport
from bayescam.explain.score_cam import ScoreCamExplainer
from bayescam.explain.targets import Target, as_targets
from bayescam.inference.draws import PosteriorDraws
from bayescam.inference.posterior import EnsembleDraws, interleave
from bayescam.types import Array, CamDraws, InputError

__all__ = ["CamExplainer"]


class CamExplainer:
    """Logits and maps of the same posterior draws, batch by batch.

    Args:
        draws: The posterior draws; their weights are made once and kept where they fit.
        targets: Scores to explain, class indices (their logits) or `Target`s; all classes by
            default.
        target_layer: Name of the layer whose maps are weighted, or several, explained in one pass;
            by default the last maps before the pooling (past pooling, padding and dropout). Of an
            ensemble of whole models, it is found in each. None where gradients at the input are
            wanted, whose one layer is called "input".
        method: One of `bayescam.explain.MAP_METHODS`.

    Raises:
        InputError: If a target is no class of the model, no layer is named or one that cannot be
            explained, the method does not fit it, or members of an ensemble make maps of different
            sizes.
    """

    def __init__(
        self,
        draws: PosteriorDraws | EnsembleDraws,
        *,
        targets: Sequence[int | Target] | None = None,
        target_layer: str | Sequence[str] | None = None,
        method: MapMethod = "gradcam",
    ) -> None:
        num_classes = draws.members[0].split.num_classes
        if method not in MAP_METHODS:
            raise InputError(f"`method` must be one of {', '.join(MAP_METHODS)}; got {method!r}")
        self.draws = draws
        self.method = method
        self.targets = as_targets(targets, num_classes)
        names = (target_layer,) if isinstance(target_layer, str | None) else tuple(target_layer)
        if not names:
            raise InputError("`target_layer` must name at least one layer; got none")
        self._members = _explain_members(draws, self.targets, names, method)

    @property
    def target_layers(self) -> tuple[str, ...]:
        """Names of the explained layers; joined where members of an ensemble differ in one."""
        by_member = zip(*(member.target_layers for member in self._members), strict=True)
        return tuple(", ".join(dict.fromkeys(names)) for names in by_member)

    @property
    def target_layer(self) -> str:
        """Name of the first explained layer."""
        return self.target_layers[0]

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width (h, w) of the maps of the first layer, in cells."""
        return self._members[0].map_shapes[0]

    @property
    def num_features(self) -> int:
        """Length F of the features of one image, those of all members one after the other."""
        return sum(member.num_features for member in self._members)

    @property
    def one_by_one(self) -> bool:
        """Whether images are explained one after the other, so that a full batch saves nothing."""
        return any(member.one_by_one for member in self._members)

    def __call__(self, images: Array, *, report: PassReport | None = None) -> CamDraws:
        """Returns logits (S, N, K), maps (S, N, T, h, w) and features (N, F) of (N, H, W, 3).

        Args:
            images: RGB in 0..255.
            report: Called as `report(done, total)` with passes of the network, by the methods that
                need many for one image.

        Raises:
            InputError: If a map is not finite.
        """
        pixels = tf.cast(images, tf.float32)
        cuts = [member.cut(pixels) for member in self._members]

        def log_mean_probs(points: tf.Tensor) -> tf.Tensor:
            at = cuts if points is pixels else [member.cut(points) for member in self._members]
            pairs = zip(self._members, at, strict=True)
            return _log_mean_probs([member.logits(cut[-1]) for member, cut in pairs])

        size = len(self._members)
        parts = [
            member.explain(pixels, cut, log_mean_probs, _share_of(report, place, size))
            for place, (member, cut) in enumerate(zip(self._members, cuts, strict=True))
        ]
        maps = {
            name: interleave([cams[place] for _, cams in parts])
            for place, name in enumerate(self.target_layers)
        }
        _check_finite(maps)
        return CamDraws(
            interleave([logits for logits, _ in parts]),
            maps,
            np.concatenate([cut[-1].numpy().reshape(len(pixels), -1) for cut in cuts], axis=1),
        )


def _explain_members(
    draws: PosteriorDraws | EnsembleDraws,
    targets: tuple[Target, ...],
    target_layers: tuple[str | None, ...],
    method: MapMethod,
) -> list[ModelExplainer]:
    """One explainer for each model; all make maps of one size."""
    if isinstance(draws, PosteriorDraws):
        return [_explain_model(draws, targets, target_layers, method)]
    if method == "scorecam" and any(target.is_of_all_draws for target in targets):
        raise InputError(
            '`method` "scorecam" cannot explain an uncertainty of several whole models, which have '
            "masks of their own; explain one of them, or use another method"
        )
    made: list[ModelExplainer] = []
    for name, member in zip(draws.names, draws.members, strict=True):
        try:
            made.append(_explain_model(member, targets, target_layers, method))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        _check_same_size(draws.names[0], made[0], name, made[-1])
    return made


def _explain_model(
    draws: PosteriorDraws,
    targets: tuple[Target, ...],
    target_layers: tuple[str | None, ...],
    method: MapMethod,
) -> ModelExplainer:
    if method == "scorecam":
        return ScoreCamExplainer(draws, targets, target_layers)
    if method == "smoothgrad" or method == "integrated_gradients":
        if target_layers != (None,):
            raise InputError(
                f"`target_layer` must be left out for `method` {method!r}, which explains pixels; "
                f"got {', '.join(map(repr, target_layers))}"
            )
        return InputExplainer(draws, targets, PATHS[method])
    return LayerExplainer(draws, targets, target_layers, method)


def _check_same_size(first: str, one: ModelExplainer, second: str, other: ModelExplainer) -> None:
    for place, (shape, expected) in enumerate(zip(other.map_shapes, one.map_shapes, strict=True)):
        if shape != expected:
            sizes = [
                f"{who} makes {by.map_shapes[place][0]}x{by.map_shapes[place][1]} "
                f"({by.target_layers[place]})"
                for who, by in ((first, one), (second, other))
            ]
            raise InputError(
                f"members of an ensemble must make maps of one size; {' and '.join(sizes)}. Name a "
                "`target_layer` that all have"
            )


def _share_of(report: PassReport | None, place: int, size: int) -> PassReport:
    """What one of several models reports to: passes of those before it are done."""
    if report is None:
        return lambda done, total: None
    return lambda done, total: report(place * total + done, size * total)


def _log_mean_probs(logits: list[Array]) -> tf.Tensor:
    """Logarithms of the mean probabilities (N, K) over the draws of all members."""
    log_probs = tf.nn.log_softmax(np.concatenate(logits))
    return tf.reduce_logsumexp(log_probs, axis=0) - np.log(float(len(log_probs)))


def _check_finite(maps: dict[str, Array]) -> None:
    for layer, cams in maps.items():
        broken = np.asarray(~np.isfinite(cams).all(axis=(0, 2, 3, 4)))
        if broken.any():
            raise InputError(
                f"the maps of layer {layer!r} are not finite for {int(broken.sum())} of "
                f"{len(broken)} images, the first of them number {int(broken.argmax())}: the "
                "network's activations or gradients overflow there"
            )
