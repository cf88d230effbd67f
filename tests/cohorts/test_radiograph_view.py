import pytest

from prognobench.cohorts.radiograph_view import is_chest, is_frontal, view_of


@pytest.mark.parametrize(
    ("position", "series", "orientation", "study", "view"),
    [
        ("AP", "", "", "", "AP"),
        ("pa ", "", "", "XR CHEST AP PORTABLE", "PA"),
        ("", "AP Landscape", "", "", "AP"),
        ("", "", "", "XR CHEST AP ONLY", "AP"),
        ("", "postero-anterior", "", "", "PA"),
        ("", "", "L\\F", "", "FRONTAL"),
        ("", "", "L\\F", "XR CHEST PA AND LATERAL", "PA"),
        ("PA", "", "", "XR CHEST PA AND LATERAL", "PA"),
        ("PA", "CHEST PA/LAT", "", "", "PA"),
        ("", "", "", "", None),
        ("", "", "", "THORAX BILATERAL", None),
        ("", "THORAX LATERALITY R", "", "", None),
        ("", "Thorax Lateralität R", "", "", None),
        ("", "Thorax p.a.", "", "Thorax p.a. und lat.", "PA"),
        ("", "Thorax a.-p. liegend", "", "Thorax in 2 Ebenen", "AP"),
        ("", "TORACE POSTERO-ANTERIORE", "", "", "PA"),
        ("", "anterior-posterior", "", "", "AP"),
    ],
)
def test_what_may_be_frontal(position, series, orientation, study, view):
    assert view_of(position, [series], orientation, study) == (view, False)
    assert is_frontal(view)


@pytest.mark.parametrize(
    ("position", "series", "orientation", "study"),
    [
        ("LL", "", "", "XR CHEST AP ONLY"),
        ("LATERAL", "AP", "", "XR CHEST AP PORTABLE"),
        ("", "Lateral L", "", "XR CHEST AP ONLY"),
        ("AP", "Lateral L", "", "XR CHEST AP ONLY"),
        ("PA", "", "A\\F", "XR CHEST PA"),
        ("", "", "P\\F", ""),
        ("", "", "", "XR CHEST LATERAL"),
        # A frontal image lost is better than a lateral kept.
        ("", "Thorax LL", "", ""),
        ("AP", "Torace latero-laterale", "", ""),
        ("", "Thorax seitlich", "", "Thorax p.a. und seitl."),
        ("", "thorax de profil", "", ""),
        ("", "Tórax perfil", "", ""),
        ("", "Rx torace L-L", "", ""),
        ("LLD", "AP", "", "XR CHEST AP"),
        ("RAO", "", "", ""),
    ],
)
def test_what_is_not_frontal_under_a_frontal_description(position, series, orientation, study):
    view, unclear = view_of(position, [series], orientation, study)
    assert not is_frontal(view)
    assert not unclear


def test_a_study_of_both_views_leaves_its_images_open():
    assert view_of("", [""], "", "XR CHEST PA AND LATERAL") == (None, True)
    assert view_of("", ["CHEST PA + LAT"], "", "") == (None, True)
    assert view_of("", [""], "", "Thorax p.a. und lat.") == (None, True)


@pytest.mark.parametrize(
    ("body_part", "descriptions", "chest"),
    [
        ("CHEST", ["KUB"], True),
        ("PORT CHEST", [], True),
        ("Thorax", [], True),
        ("TORAX", [], True),
        ("ABDOMEN", ["XR CHEST AP"], False),
        ("ABDOMENPELVIS", [], False),
        ("KIDNEY", [], False),
        ("", ["", "XR ABDOMEN 1 VIEW"], False),
        ("", ["", "XR ACUTE ABDOMINAL SERIES W PA CHEST PORTABLE"], True),
        ("", ["", ""], True),
    ],
)
def test_the_body_part_decides_before_the_descriptions(body_part, descriptions, chest):
    assert is_chest(body_part, descriptions) is chest
