import pytest

from prognobench.errors import UserError
from prognobench.images.options import ImagesSpec
from prognobench.spec import parse_spec

SPEC = {
    "name": "x",
    "cohort": {"source": "synthetic"},
    "endpoints": ["icu"],
    "backbones": ["demo_vit"],
    "strategies": ["linear"],
}


def parsed(**images):
    return parse_spec({**SPEC, "images": images}, "spec").images


def test_nothing_is_asked_by_default():
    assert parsed().identity() == ImagesSpec().identity() == {}


def test_what_is_asked_is_part_of_the_identity():
    asked = [parsed(percentiles=[2, 98]), parsed(percentiles=[1, 99]), parsed(lung_crop=True)]
    asked.append(parsed(lung_crop=True, lung_margin=0.1))
    identities = [str(own.identity()) for own in asked]
    assert len(set(identities)) == 4
    assert parsed(lung_margin=0.2).identity() == {}


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ({"percentiles": [98, 2]}, "images.percentiles.*lower one first"),
        ({"percentiles": [-1, 98]}, "images.percentiles"),
        ({"percentiles": [2, 101]}, "images.percentiles"),
        ({"percentiles": [2, float("nan")]}, "images.percentiles"),
        ({"percentiles": [2]}, "images.percentiles"),
        ({"percentiles": 2}, "images.percentiles"),
        ({"lung_margin": -0.1}, "images.lung_margin"),
        ({"lung_margin": 1.1}, "images.lung_margin"),
        ({"without_lungs": "crop"}, "images.without_lungs"),
        ({"lung_crops": True}, "unknown key 'images.lung_crops'.*lung_crop"),
    ],
)
def test_bounds(images, words):
    with pytest.raises(UserError, match=words):
        parsed(**images)
