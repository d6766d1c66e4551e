"""Removed pixels from those that are left: noisy linear imputation (Rong et al. 2022, section 4.2).

Each removed pixel is the weighted mean of its neighbours, 1/6 for each that shares a side and 1/12
for each that shares a corner, over those inside the image. As neighbours may be removed
themselves, that is one sparse linear system, a graph Laplacian, with all channels on its right
side. Noise on the result hides how smooth it is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from bayescam.types import Array

__all__ = ["impute_noisy_linear"]

_NEIGHBOURS = ((0, 1, 1 / 6), (1, 0, 1 / 6), (1, 1, 1 / 12), (1, -1, 1 / 12))


def impute_noisy_linear(images: Array, removed: Array, noise: Array) -> Array:
    """Returns images with removed pixels imputed.

    Args:
        images: (B, H, W, C).
        removed: (B, H, W), not all pixels of an image.
        noise: (H, W, C), added to imputed pixels.
    """
    pairs = zip(images, removed, strict=True)
    return np.stack([_impute(image, mask, noise) for image, mask in pairs])


def _impute(image: Array, removed: Array, noise: Array) -> Array:
    gone, left = np.flatnonzero(removed), np.flatnonzero(~removed)
    if gone.size == 0:
        return image
    flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
    rows = _laplacian(*removed.shape)[gone]
    solver = splu(
        rows[:, gone].tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    flat[gone] = solver.solve(-(rows[:, left] @ flat[left])) + noise.reshape(flat.shape)[gone]
    return flat.reshape(image.shape)


@lru_cache(maxsize=4)
def _laplacian(height: int, width: int) -> csr_array:
    """Sum of a pixel's weights on the diagonal, minus the weights of its neighbours beside it."""
    places = np.arange(height * width).reshape(height, width)
    parts = []
    for down, right, weight in _NEIGHBOURS:
        here = places[: height - down, max(0, -right) : width - max(0, right)].ravel()
        there = places[down:, max(0, right) : width + min(0, right)].ravel()
        parts.append((here, there, np.full(here.size, weight)))
    here, there, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    half = coo_array((weights, (here, there)), shape=(places.size, places.size))
    both = (half + half.T).tocsr()
    return (diags_array(both.sum(axis=1)) - both).tocsr()
