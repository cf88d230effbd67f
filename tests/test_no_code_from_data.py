"""Nothing that is read is run: no pickle, no objects of YAML, no shell, no text as code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import prognobench

SOURCE = Path(prognobench.__file__).parent

MODULES = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code",
    "pdb", "runpy", "telnetlib", "xmlrpc", "jsonpickle",
}  # fmt: skip
"""Modules that run what they read."""

ALLOWED = {
    ("backbones/weights.py", "pickle"): "its UnpicklingError is what a refused pickle raises",
    ("evaluation/workers.py", "joblib"): "it reads what this process and its children wrote",
}

NAMES = {"eval", "exec", "compile", "__import__", "input"}
"""Functions of Python that take text as code, or wait for somebody who is not there."""

CALLS = {
    "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnl", "os.spawnv",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.load_all",
    "yaml.unsafe_load", "yaml.full_load", "torch.jit.load", "torch.hub.load", "read_pickle",
    "to_pickle", "torch.save", "register_resolver", "register_new_resolver", "extractall",
}  # fmt: skip
"""Calls that read or write code, start a shell, or let an archive choose where it is unpacked."""

SWITCHES = {"shell", "trust_remote_code", "allow_pickle", "unsafe"}
"""Keywords that must not be other than False."""


def dangers(source, place=""):
    """Return the lines of a module that could run what they read."""
    found = []
    tree = ast.parse(source)
    names = {}  # what a name stands for, as imported
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
        else:
            continue
        found += [
            f"{place}:{node.lineno} imports {name}"
            for name in imported
            if name.split(".")[0] in MODULES and (place, name) not in ALLOWED
        ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        first, _, rest = called.partition(".")
        full = ".".join(filter(None, [names.get(first, first), rest]))
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        wrong = full in NAMES or any(full == one or full.endswith(f".{one}") for one in CALLS)
        wrong |= any(keywords.get(switch, "False") != "False" for switch in SWITCHES)
        wrong |= full == "torch.load" and keywords.get("weights_only") != "True"
        wrong |= None in keywords and full in {"torch.load", "numpy.load", "np.load"}
        wrong |= full in {"numpy.load", "np.load"} and len(node.args) > 1
        if wrong:
            found.append(f"{place}:{node.lineno} {ast.unparse(node)[:80]}")
    return found


def test_nothing_that_is_read_is_run():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        found += dangers(path.read_text(encoding="utf-8"), place)
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.externals",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import torch as t\nt.load(path, **options)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, None, True)",
        "from numpy import load as read\nread(path, allow_pickle=wanted)",
        "import pandas as pd\npd.read_pickle(path)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load\nunsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import os\nos.system(text)",
        "from os import popen\npopen(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "import torch\ntorch.hub.load(name, 'model')",
        "from omegaconf import OmegaConf\nOmegaConf.register_new_resolver('now', now)",
        "archive.extractall(folder)",
    ],
)
def test_it_would_be_found(source):
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "import re\nre.compile(text)",
        "import subprocess\nsubprocess.run([command, text])",
    ],
)
def test_what_is_harmless_is_left_alone(source):
    assert not dangers(source)
