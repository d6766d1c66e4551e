"""Maps against masks: closed forms, and slow loops over thresholds, pixels and draws."""

from __future__ import annotations

import numpy as np
import pytest

from bayescam.explain import (
    MaskedMaps,
    centred_gaussian,
    class_maps,
    energy_in_masks,
    judge_beside_baselines,
    judge_localization,
    mean_mask,
    summary_maps,
    tune_threshold,
)
from bayescam.explain.mask_levels import count_levels, iou_by_level, otsu_level
from bayescam.explain.resizing import cell_weights, resize_maps
from bayescam.report import upsample_map
from bayescam.types import InputError


def random_masks(num: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Rectangles, away from the whole image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((num, *size), bool)
    for mask in masks:
        top, left = (rng.integers(0, side // 2) for side in size)
        mask[top : top + size[0] // 3, left : left + size[1] // 3] = True
    return masks


def random_maps(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_map_equal_to_its_mask_is_perfect():
    masks = random_masks(3, (9, 12))
    scores = judge_localization(np.where(masks, 2.0, -1.0), masks, threshold=0.3)
    area = masks.mean(axis=(1, 2))
    for name in ("iou_otsu", "iou_tuned", "hit_rate", "energy"):
        np.testing.assert_allclose(getattr(scores, name), 1.0)
    np.testing.assert_allclose(scores.enrichment, 1 / area)
    np.testing.assert_array_equal(scores.background_ratio, 0.0)
    assert scores.has_evidence.all()


def test_a_map_beside_its_mask_has_nothing_inside():
    masks = random_masks(3, (9, 12))
    scores = judge_localization(np.where(masks, -1.0, 2.0), masks, threshold=0.3)
    for name in ("iou_otsu", "iou_tuned", "hit_rate", "energy", "enrichment"):
        np.testing.assert_array_equal(getattr(scores, name), 0.0)
    np.testing.assert_array_equal(scores.background_ratio, np.inf)


def test_a_constant_map_is_enriched_nowhere():
    masks = random_masks(4, (20, 30))
    area = masks.mean(axis=(1, 2))
    scores = judge_localization(np.full((4, 5, 5), 3.0), masks, threshold=0.5)
    np.testing.assert_allclose(scores.enrichment, 1.0, rtol=1e-6)
    np.testing.assert_allclose(scores.background_ratio, 1.0, rtol=1e-6)
    for values in (scores.iou_otsu, scores.iou_tuned, scores.hit_rate, scores.energy):
        np.testing.assert_allclose(values, area, rtol=1e-6)


def test_a_map_without_positive_evidence_is_flagged():
    maps = np.stack([np.full((4, 4), -1.0), np.zeros((4, 4)), np.eye(4)])
    scores = judge_localization(maps, random_masks(3, (12, 12)), threshold=0.5)
    assert scores.has_evidence.tolist() == [False, False, True]
    for name in ("iou_otsu", "iou_tuned", "hit_rate"):
        assert getattr(scores, name)[:2].tolist() == [0.0, 0.0]
    for name in ("energy", "enrichment", "background_ratio"):
        assert np.isnan(getattr(scores, name)).tolist() == [True, True, False]
    energy = energy_in_masks(maps, random_masks(3, (12, 12)))
    np.testing.assert_array_equal(energy, scores.energy)


def test_a_mask_of_the_whole_image_has_no_background():
    scores = judge_localization(np.ones((1, 2, 2)), np.ones((1, 4, 4)), threshold=0.5)
    assert scores.energy == 1
    assert np.isnan(scores.background_ratio)


def test_scores_of_draws_are_those_of_each_draw_by_slow_loops():
    cams, masks = random_maps(3, 4, 5, 6), [*random_masks(2, (20, 31)), *random_masks(2, (14, 14))]
    scores = judge_localization(cams, masks, threshold=0.3)
    for s in range(3):
        for n, mask in enumerate(masks):
            big = upsample_map(np.maximum(cams[s, n], 0), mask.shape)
            kept = big >= big.max() * 77 / 256  # the nearest to 0.3
            slow_iou = (kept & mask).sum() / (kept | mask).sum()
            assert scores.iou_tuned[s, n] == pytest.approx(slow_iou)
            energy = big[mask].sum() / big.sum()
            assert energy_in_masks(cams, masks)[s, n] == pytest.approx(energy, rel=1e-5)
            assert scores.energy[s, n] == pytest.approx(energy, rel=1e-5)
            assert scores.enrichment[s, n] == pytest.approx(energy / mask.mean(), rel=1e-5)
            ratio = big[~mask].mean() / big[mask].mean()
            assert scores.background_ratio[s, n] == pytest.approx(ratio, rel=1e-4)
            highest = big >= big.max() * (1 - 1e-6)
            assert scores.hit_rate[s, n] == pytest.approx((highest & mask).sum() / highest.sum())


def test_no_scale_of_the_map_and_no_block_of_draws_changes_the_scores(monkeypatch):
    cams, masks = random_maps(5, 2, 4, 4), random_masks(2, (16, 16))
    one = judge_localization(cams, masks, threshold=0.5)
    monkeypatch.setattr("bayescam.explain.mask_levels._BLOCK_PIXELS", 2 * 16 * 16)
    other = judge_localization(1024 * cams, masks, threshold=0.5)
    for name, values in one.as_dict().items():
        np.testing.assert_array_equal(values, other.as_dict()[name])


def test_otsu_maximises_the_variance_between_classes():
    """Against every threshold, one after another, on pixels put on their levels."""
    maps, masks = random_maps(6, 5, 5, seed=3) + 0.5, np.ones((6, 24, 24), bool)
    counts, _ = count_levels(maps, masks)
    found = otsu_level(counts)
    for n, cam in enumerate(maps):
        big = resize_maps(np.maximum(cam, 0), (24, 24)).ravel()
        level = np.minimum(big * np.float32(256) / big.max(), 255).astype(int)
        between = []
        for cut in range(1, 256):
            low, high = level[level < cut], level[level >= cut]
            share = len(low) / len(level)
            known = len(low) and len(high)
            gap = low.mean() - high.mean() if known else 0.0
            between.append(share * (1 - share) * gap**2)
        assert between[found[n] - 1] == pytest.approx(max(between), rel=1e-9)


def test_iou_at_every_threshold_by_a_slow_loop():
    masks = random_masks(1, (18, 18), seed=2)
    maps = random_maps(1, 6, 6, seed=4)
    iou = iou_by_level(count_levels(maps, masks)[0])[0]
    big = resize_maps(np.maximum(maps[0], 0), (18, 18))
    scaled = big * (np.float32(256) / big.max())
    for level in (0, 1, 40, 128, 255):
        kept = scaled >= level
        expected = (kept & masks[0]).sum() / (kept | masks[0]).sum()
        assert iou[level] == pytest.approx(expected)
    for threshold, level in ((1e-4, 1), (0.999, 255)):
        assert judge_localization(maps, masks, threshold=threshold).iou_tuned == iou[level]


def test_the_tuned_threshold_is_the_best_of_all_on_its_images():
    maps, masks = random_maps(5, 6, 6, seed=1), random_masks(5, (18, 18), seed=1)
    big = resize_maps(np.maximum(maps, 0), (18, 18))
    scaled = big * (np.float32(256) / big.max(axis=(1, 2), keepdims=True))
    slow = []
    for level in range(1, 256):
        kept = scaled >= level
        each = [(k & m).sum() / (k | m).sum() for k, m in zip(kept, masks, strict=True)]
        slow.append(np.mean(each))
    best = tune_threshold(maps, masks)
    assert slow[round(best * 256) - 1] == pytest.approx(max(slow))
    scores = judge_localization(maps, masks, threshold=best)
    assert scores.iou_tuned.mean() == pytest.approx(max(slow))


def test_energy_in_cells_is_energy_in_pixels():
    """`sum(mask * (R map C'))` and `sum((R' mask C) * map)`, for maps larger than the mask too."""
    rng = np.random.default_rng(0)
    for shape, size in (((5, 6), (17, 23)), ((20, 21), (9, 8))):
        cam, mask = rng.normal(size=shape), rng.uniform(size=size)
        pixels = (resize_maps(cam, size) * mask).sum()
        assert (cell_weights(mask, shape) * cam).sum() == pytest.approx(pixels, rel=1e-4)


def test_maps_are_enlarged_as_in_the_figures():
    cams = random_maps(2, 3, 5, 4)
    resized = resize_maps(cams, (13, 16))
    np.testing.assert_allclose(resized[1, 2], upsample_map(cams[1, 2], (13, 16)), atol=1e-5)


def test_the_blob_has_a_quarter_of_the_side_as_its_sd():
    blob = centred_gaussian((400, 800))
    for axis, sd in ((0, 100), (1, 200)):
        side = blob.sum(axis=1 - axis) / blob.sum()
        inner = side[sd:-sd].sum()  # one sd to either side of the middle, of a Gaussian cut at two
        assert inner == pytest.approx(0.6827 / 0.9545, abs=1e-3)
    np.testing.assert_allclose(blob, blob[::-1, ::-1])


def test_the_mean_mask_is_the_mean_of_the_resized_masks():
    masks = np.zeros((2, 8, 8))
    masks[0, :4], masks[1, :, :4] = 1, 1
    mean = mean_mask(masks, (8, 8))
    np.testing.assert_allclose(mean, masks.mean(axis=0))
    small = mean_mask([np.ones((30, 20))], (3, 2))
    np.testing.assert_allclose(small, 1.0)


def test_maps_are_judged_beside_three_baselines_with_thresholds_of_their_own():
    masks = random_masks(12, (24, 24), seed=5)
    test, validation, training = masks[:4], masks[4:8], masks[8:]

    def pair(part, seed):
        return MaskedMaps(part * 1.0, part, random_maps(len(part), 24, 24, seed=seed))

    table = judge_beside_baselines(pair(test, 0), pair(validation, 1), training_masks=training)
    assert list(table) == ["maps", "centred Gaussian", "mean training mask", "random weights"]
    assert table["maps"].iou_tuned.mean() == 1
    assert all(s.energy.mean() < 0.9 for name, s in table.items() if name != "maps")
    blob = np.tile(centred_gaussian((24, 24)), (4, 1, 1))
    alone = judge_localization(blob, test, threshold=tune_threshold(blob, validation))
    np.testing.assert_allclose(table["centred Gaussian"].iou_tuned, alone.iou_tuned)
    usual = np.tile(mean_mask(training, (24, 24)), (4, 1, 1))
    expected = judge_localization(usual, test, threshold=tune_threshold(usual, validation))
    np.testing.assert_allclose(table["mean training mask"].iou_tuned, expected.iou_tuned)


def test_the_map_of_each_image_is_that_of_its_class():
    cams = random_maps(4, 3, 2, 5, 5)
    chosen = class_maps(cams, [1, 0, 1])
    for n, t in enumerate((1, 0, 1)):
        np.testing.assert_array_equal(chosen[:, n], cams[:, n, t])
    both = summary_maps(cams, [1, 0, 1])
    np.testing.assert_allclose(both["mean map"][2], cams[:, 2, 1].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(both["sd map"][2], cams[:, 2, 1].std(axis=0), rtol=1e-6)
    threshold = both["mean map"][2].max() / 2
    assert both["mean map"][2].max() > 0
    np.testing.assert_allclose(both["P(map > c)"][2], (cams[:, 2, 1] > threshold).mean(axis=0))
    equal = np.repeat(cams[:1], 100, axis=0)
    assert summary_maps(equal, [1, 0, 1])["sd map"].max() == 0  # not rounding, to be ranked
    with pytest.raises(InputError, match="`target_indices` must be 0 to 1, .*; got 2"):
        class_maps(cams, [0, 2, 1])
    with pytest.raises(InputError, match="`target_indices` must be 3 whole numbers"):
        class_maps(cams, [0.0, 1.0, 1.0])
    with pytest.raises(InputError, match="at least two draws"):
        summary_maps(cams[:1], [0, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((2, 8, 8))}, "2 of 2 are all empty, the first of them number 0"),
        ({"masks": np.ones((3, 8, 8))}, "`masks` must be 2, one an image; got 3"),
        ({"masks": np.ones((2, 8, 8, 1))}, r"must have shape \(H, W\); number 0 has \(8, 8, 1\)"),
        ({"image_sizes": [(8, 8), (8, 9)]}, r"number 1 has \(8, 8\), its image \(8, 9\)"),
        ({"image_sizes": [(8, 8)]}, "`image_sizes` must be 2, one a mask; got 1"),
        ({"threshold": 50}, "`threshold` must be a share of the peak between 0 and 1; got 50"),
        ({"maps": np.ones((8, 8))}, r"`maps` must have shape \(..., N, h, w\); got \(8, 8\)"),
        ({"maps": np.array([[[1.0]], [[np.nan]]])}, "1 of 2 images .* the first of them number 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, message):
    given = {"maps": np.ones((2, 4, 4)), "masks": np.ones((2, 8, 8)), "threshold": 0.5, **change}
    with pytest.raises(InputError, match=message):
        judge_localization(given.pop("maps"), given.pop("masks"), **given)


def test_energy_alone_is_that_of_the_whole_judgement():
    rng = np.random.default_rng(5)
    maps, masks = rng.normal(size=(3, 4, 5, 6)), rng.random((4, 20, 30)) < 0.3
    maps[1, 2] = -1.0  # no positive evidence
    judged = judge_localization(maps, masks, threshold=0.5).energy
    energy = energy_in_masks(maps, masks)
    np.testing.assert_array_equal(energy, judged)
    assert np.isnan(energy[1, 2])
    assert np.isnan(energy).sum() == 1
