"""A benchmark for the tests of the report, made once."""

import pytest
from fake_benchmark import fake_content


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    return fake_content(tmp_path_factory.mktemp("fake"), shots=(2, 8), replicates=50)
