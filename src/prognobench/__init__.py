"""prognobench: a benchmark for prognosis from medical images."""

from importlib.metadata import version

__version__ = version("prognobench")
