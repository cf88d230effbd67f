import numpy as np
import pandas as pd
import pytest
from make_images import encoded
from PIL import Image

from prognobench.images.contact_sheet import choose_images, write_contact_sheet
from prognobench.images.store import build_store


def rows(counts):
    made = [
        {"image_id": f"{site}{target}{n:03}", "target": target, "site": site, "view": "AP"}
        for (target, site), count in counts.items()
        for n in range(count)
    ]
    return pd.DataFrame(made)


def test_as_many_of_each_target_and_site_as_there_are():
    table = rows({(0, "a"): 100, (1, "a"): 3, (0, "b"): 30, (1, "b"): 30})
    chosen = choose_images(table)
    assert len(chosen) == len(set(chosen)) == 48
    counts = table[table["image_id"].isin(chosen)].groupby(["target", "site"]).size()
    assert counts.tolist() == [15, 15, 3, 15]
    assert choose_images(table.sample(frac=1, random_state=0)) == chosen


def test_few_images_are_all_shown():
    assert len(choose_images(rows({(0, "a"): 2, (1, "a"): 1}))) == 3
    assert choose_images(rows({(0, "a"): 5}), 0) == []


@pytest.mark.parametrize("size", [32, 300])
def test_the_sheet_shows_the_pixels_of_the_store(tmp_path, size):
    table = rows({(0, "a"): 5, (1, "a"): 5})
    files = {}
    for place, name in enumerate(table["image_id"]):
        files[name] = tmp_path / f"{name}.png"
        files[name].write_bytes(encoded(np.full((size, size), 10 * place + 50, np.uint8)))
    table.loc[0, "view"] = None
    store = build_store(files, [size], tmp_path / "s").stores[size]
    path = tmp_path / "sheets" / "sheet.png"
    write_contact_sheet(store, table, path)
    sheet = np.asarray(Image.open(path))
    assert sheet[20, 20] == 50
    first = path.read_bytes()
    write_contact_sheet(store, table, path)
    assert path.read_bytes() == first
