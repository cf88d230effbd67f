"""``python -m prognobench`` is the command ``prognobench``."""

from prognobench.cli import main

main()
