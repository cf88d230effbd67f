"""The renderer: findings become what the pixels show, the same each time."""

from dataclasses import replace

import numpy as np
import pytest

from prognobench.demo.anatomy import draw_anatomy, draw_pose
from prognobench.demo.findings import Findings, draw_pattern, spread_extent
from prognobench.demo.radiograph import Radiograph, render
from prognobench.demo.scanner import SITES, Scanner, draw_exposure
from prognobench.demo.textures import CLOUD, MOTTLE, TILE, texture, tile

CLEAR = Findings((0.002,) * 6, (0.0, 0.0), 1.0)


def radiograph(findings: Findings, seed: int = 3, site: str = "harbour") -> Radiograph:
    rng = np.random.default_rng(seed)
    scanner: Scanner = SITES[site]
    anatomy = draw_anatomy(rng, female=False)
    pose = draw_pose(rng, anteroposterior=False)
    exposure = draw_exposure(rng, scanner, anteroposterior=False)
    return render(findings, anatomy, pose, scanner, exposure)


@pytest.mark.parametrize("site", SITES)
def test_images_have_their_scanners_size_and_use_the_grey_scale(site: str) -> None:
    image = radiograph(CLEAR, site=site)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (SITES[site].height, SITES[site].width)
    assert image.opacity.dtype == image.lung.dtype == np.float32
    dark, bright = np.percentile(image.pixels, [5, 95])
    assert bright - dark > 100


def test_equal_arguments_give_equal_pixels() -> None:
    np.testing.assert_array_equal(radiograph(CLEAR).pixels, radiograph(CLEAR).pixels)
    assert (radiograph(CLEAR, seed=4).pixels != radiograph(CLEAR).pixels).mean() > 0.5


def test_lungs_are_dark_on_both_sides_of_a_bright_mediastinum() -> None:
    image = radiograph(CLEAR)
    assert 0.15 < image.lung.mean() < 0.45
    rows = slice(90, 130)
    middle = image.pixels[rows, 118:138].mean()
    right, left = image.pixels[rows, 60:90].mean(), image.pixels[rows, 175:200].mean()
    assert max(right, left) < middle - 60


@pytest.mark.parametrize("seed", range(5))
def test_opacity_follows_the_extent(seed: int) -> None:
    pattern = draw_pattern(np.random.default_rng(seed))
    extents = [0.05, 0.25, 0.45, 0.65, 0.85]
    images = [radiograph(replace(CLEAR, zones=spread_extent(e, pattern)), seed) for e in extents]
    lost = [image.opacity.sum() / image.lung.sum() for image in images]
    assert lost == sorted(lost)
    assert lost[-1] - lost[0] > 0.3
    lung = images[0].lung > 0.9
    brightness = [image.pixels[lung].mean() for image in images]
    assert brightness == sorted(brightness)


def test_a_zone_lies_where_its_name_says() -> None:
    clear, zones = radiograph(CLEAR), list(CLEAR.zones)
    zones[2] = 0.9  # the patient's right lower zone: below on the left of the image
    change = radiograph(replace(CLEAR, zones=tuple(zones))).pixels - clear.pixels.astype(float)
    height, width = change.shape
    below = change[height // 2 : int(0.7 * height)]
    assert below[:, : width // 2].sum() > 20 * abs(below[:, width // 2 :].sum())
    assert abs(change[: height // 4]).sum() < 0.02 * abs(change).sum()


def test_effusions_and_hearts_show() -> None:
    clear = radiograph(CLEAR).pixels.astype(float)
    fluid = radiograph(replace(CLEAR, effusions=(0.2, 0.0))).pixels - clear
    assert fluid[:, :128].sum() > 10 * abs(fluid[:, 128:].sum())
    large = radiograph(replace(CLEAR, heart=1.3)).pixels - clear
    assert large[:, 128:].sum() > 50_000


@pytest.mark.parametrize("extent", [0.0, 0.01, 0.3, 0.77, 1.0])
def test_spreading_keeps_the_extent(extent: float) -> None:
    zones = spread_extent(extent, draw_pattern(np.random.default_rng(1)))
    assert Findings(zones, (0, 0), 1).extent == pytest.approx(np.clip(extent, 0.002, 0.998))
    assert all(0 < zone < 1 for zone in zones)


@pytest.mark.parametrize("slope", [CLOUD, MOTTLE])
def test_textures_are_uniform(slope: float) -> None:
    values = tile(slope, 1)
    assert values.shape == (TILE, TILE)
    np.testing.assert_allclose(np.quantile(values, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=1e-3)
    crop = texture(slope, 987_654_321, 240, 200)
    assert crop.shape == (240, 200)
    np.testing.assert_array_equal(crop, texture(slope, 987_654_321, 240, 200))
