"""Maps of posterior draws: one per draw, image and score, from one backbone pass.

The score of class `t` is its logit (never silently a softmax): Grad-CAM's channel weights are
`alpha_k = mean_ij dy_t / dA_ijk`, its map `sum_k alpha_k A_k` (Selvaraju et al. 2017, equations 1
and 2 without the final ReLU). Maps of every method stay signed and unnormalised, since relu and
scaling do not commute with averaging over draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from bayescam.explain.draw_maps import check_method, draw_maps
from bayescam.explain.methods import CAM_METHODS, CamMethod
from bayescam.explain.score_gradients import score_gradients
from bayescam.explain.targets import Target
from bayescam.inference.draws import DrawnWeights, PosteriorDraws, run_suffix
from bayescam.inference.posterior import EnsembleDraws, interleave
from bayescam.inference.split import NetworkSplit
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
            ensemble of whole models, it is found in each.
        method: One of `bayescam.explain.CAM_METHODS`.

    Raises:
        InputError: If a target is no class of the model, the layer cannot be explained, the method
            does not fit it, or members of an ensemble make maps of different sizes.
    """

    def __init__(
        self,
        draws: PosteriorDraws | EnsembleDraws,
        *,
        targets: Sequence[int | Target] | None = None,
        target_layer: str | Sequence[str] | None = None,
        method: CamMethod = "gradcam",
    ) -> None:
        num_classes = draws.members[0].split.num_classes
        if method not in CAM_METHODS:
            raise InputError(f"`method` must be one of {', '.join(CAM_METHODS)}; got {method!r}")
        self.draws = draws
        self.method = method
        self.targets = _as_targets(range(num_classes) if targets is None else targets, num_classes)
        names = (target_layer,) if isinstance(target_layer, str | None) else tuple(target_layer)
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

    def __call__(self, images: Array) -> CamDraws:
        """Returns logits (S, N, K), maps (S, N, T, h, w) and features (N, F) of (N, H, W, 3).

        Raises:
            InputError: If a map is not finite.
        """
        pixels = tf.cast(images, tf.float32)
        cuts = [member.cut(pixels) for member in self._members]
        log_mean = None
        if any(target.is_of_all_draws for target in self.targets):
            pairs = zip(self._members, cuts, strict=True)
            log_mean = _log_mean_probs([member.logits(cut) for member, cut in pairs])
        parts = [m.explain(cut, log_mean) for m, cut in zip(self._members, cuts, strict=True)]
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


class _ModelExplainer:
    """Logits and maps of the draws of one model; a cut is a list of values, the features last."""

    def __init__(
        self,
        draws: PosteriorDraws,
        targets: tuple[Target, ...],
        target_layers: tuple[str | None, ...],
        method: CamMethod,
    ) -> None:
        self._draws = draws
        self._split = split = draws.split
        self._num_targets = len(targets)
        self._layers = layers = tuple(split.target_key(name) for name in target_layers)
        for layer in layers:
            check_method(split, layer, method)
        keys = dict.fromkeys(key for layer in layers for key in split.cut(layer))
        self.cut = split.prefix(*keys, split.features)
        self._explain = split.compiled(
            ("explain", layers, targets, method),
            lambda: _explaining(split, tuple(keys), layers, targets, method),
        )
        self._weights: DrawnWeights | None = None

    @property
    def target_layers(self) -> tuple[str, ...]:
        return tuple(self._split.graph.name_of(layer) for layer in self._layers)

    @property
    def map_shapes(self) -> tuple[tuple[int, int], ...]:
        shapes = (self._split.graph.item_shape(layer) for layer in self._layers)
        return tuple((height, width) for height, width, _ in shapes)

    @property
    def num_features(self) -> int:
        return int(np.prod(self._split.graph.item_shape(self._split.features)))

    def logits(self, cut: list[tf.Tensor]) -> Array:
        """Logits (S, N, K) of all draws."""
        blocks = self._draws.blocks(self._bytes_per_draw(len(cut[-1])))
        parts = [run_suffix(self._split, cut[-1], w) for w in self._weight_blocks(blocks)]
        return _join(parts)

    def explain(
        self, cut: list[tf.Tensor], log_mean_probs: tf.Tensor | None
    ) -> tuple[Array, list[Array]]:
        """Logits (S, N, K) and, for each layer, maps (S, N, T, h, w)."""
        blocks = self._draws.blocks(self._bytes_per_draw(len(cut[-1])))
        parts = [self._explain(cut, w, log_mean_probs) for w in self._weight_blocks(blocks)]
        logits, *cams = (_join(part) for part in zip(*parts, strict=True))
        return logits, cams

    def _bytes_per_draw(self, num_images: int) -> int:
        """Memory of one draw beside its weights: gradients and maps."""
        rows = 1 if self._split.is_affine else num_images
        cells = num_images * sum(int(np.prod(shape)) for shape in self.map_shapes)
        return 4 * self._num_targets * (rows * self.num_features + cells)

    def _weight_blocks(self, blocks: list[tuple[int, int]]) -> Iterator[DrawnWeights]:
        """Weights of each block of draws; a single block is drawn once and kept."""
        if len(blocks) == 1:
            self._weights = self._weights or self._draws.weights()
            yield self._weights
        else:
            for start, stop in blocks:
                yield self._draws.weights(start, stop)


def _explain_members(
    draws: PosteriorDraws | EnsembleDraws,
    targets: tuple[Target, ...],
    target_layers: tuple[str | None, ...],
    method: CamMethod,
) -> list[_ModelExplainer]:
    """One explainer for each model; all make maps of one size."""
    if isinstance(draws, PosteriorDraws):
        return [_ModelExplainer(draws, targets, target_layers, method)]
    made: list[_ModelExplainer] = []
    for name, member in zip(draws.names, draws.members, strict=True):
        try:
            made.append(_ModelExplainer(member, targets, target_layers, method))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        _check_same_size(draws.names[0], made[0], name, made[-1])
    return made


def _check_same_size(first: str, one: _ModelExplainer, second: str, other: _ModelExplainer) -> None:
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


def _explaining(
    split: NetworkSplit,
    keys: tuple[int, ...],
    layers: tuple[int, ...],
    targets: tuple[Target, ...],
    method: CamMethod,
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """The function from a cut and drawn weights to the logits and each layer's maps."""

    def explain(
        cut: list[tf.Tensor], weights: DrawnWeights, log_mean_probs: tf.Tensor | None
    ) -> tuple[tf.Tensor, ...]:
        features = cut[-1]
        values = dict(zip(keys, cut[:-1], strict=True))
        gradients = score_gradients(split, features, weights, targets, log_mean_probs)
        cams = (
            draw_maps(split, layer, method, [values[key] for key in split.cut(layer)], gradients)
            for layer in layers
        )
        return run_suffix(split, features, weights), *cams

    return explain


def _log_mean_probs(logits: list[Array]) -> tf.Tensor:
    """Logarithms of the mean probabilities (N, K) over the draws of all members."""
    log_probs = tf.nn.log_softmax(np.concatenate(logits))
    return tf.reduce_logsumexp(log_probs, axis=0) - np.log(float(len(log_probs)))


def _join(parts: Sequence[tf.Tensor]) -> Array:
    return np.concatenate([part.numpy() for part in parts]) if len(parts) > 1 else parts[0].numpy()


def _as_targets(targets: Sequence[int | Target], num_classes: int) -> tuple[Target, ...]:
    made = tuple(t if isinstance(t, Target) else Target.of_class(int(t)) for t in targets)
    wrong = [index for target in made for index in target.classes if not 0 <= index < num_classes]
    if wrong or not made:
        raise InputError(
            f"`targets` must be class indices 0 to {num_classes - 1}; got {wrong or list(targets)}"
        )
    return made


def _check_finite(maps: dict[str, Array]) -> None:
    for layer, cams in maps.items():
        broken = ~np.isfinite(cams).all(axis=(0, 2, 3, 4))
        if broken.any():
            raise InputError(
                f"the maps of layer {layer!r} are not finite for {int(broken.sum())} of "
                f"{len(broken)} images, the first of them number {int(broken.argmax())}: the "
                "network's activations or gradients overflow there"
            )
