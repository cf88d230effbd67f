"""The code blocks of the documentation, and how each kind is tried."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import typer
from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from prognobench.cli import app

REPOSITORY = Path(__file__).parents[2]
NEEDS = re.compile(r"<!-- needs (?P<needs>[^>]+?) -->\s*\Z")
PRINTED = re.compile(r"<!-- printed by the block above -->\s*\Z")
LANGUAGES = {"bash", "python", "yaml", "text"}
"""What a block may be: run, run, read as a spec, and layouts, tables or what a block printed."""

RADIOGRAPHS = "radiographs"
"""The need of blocks that read the real chest X-rays, which are no part of the repository."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: Its language.
        source: Its lines.
        line: Where it begins in the document.
        needs: What the comment before it says it needs: markers of the tests, the radiographs, or
            packages of an extra.
        printed: Whether it is what the block before it prints, "..." standing for what is left
            out of a line.
    """

    language: str
    source: str
    line: int
    needs: tuple[str, ...] = ()
    printed: bool = False


def _project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def markers() -> set[str]:
    """Return the markers that tests may have."""
    lines = _project()["tool"]["pytest"]["ini_options"]["markers"]
    return {line.partition(":")[0] for line in lines}


def extras() -> set[str]:
    """Return the optional extras, each called like the package that it is for."""
    return set(_project()["project"]["optional-dependencies"])


def documents() -> list[str]:
    """Return the documents with code blocks, relative to the repository."""
    pages = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
    found = [page.relative_to(REPOSITORY).as_posix() for page in pages]
    return sorted(name for name in found if not name.startswith("docs/reference/"))


def blocks(name: str) -> list[Block]:
    """Return the blocks of a document, in order."""
    document = Document((REPOSITORY / name).read_text(encoding="utf-8"), name)
    lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)$\n", re.MULTILINE))
    found = []
    for region in lexer(document):
        before = document.text[: region.start]
        needs, printed = NEEDS.search(before), PRINTED.search(before) is not None
        own = tuple(needs["needs"].split(", ")) if needs else ()
        found.append(
            Block(
                region.lexemes["language"].strip(),
                str(region.lexemes["source"]),
                document.text.count("\n", 0, region.start) + 1,
                found[-1].needs if printed else own,
                printed,
            )
        )
    return found


def groups(name: str) -> dict[tuple[str, ...], list[Block]]:
    """Return the blocks of a document by what they need, each group in order."""
    found: dict[tuple[str, ...], list[Block]] = {}
    for block in blocks(name):
        found.setdefault(block.needs, []).append(block)
    return found


def own_commands(source: str) -> list[list[str]]:
    """Return the words of each line of a shell block that calls ``prognobench``."""
    joined = source.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        for start, word in enumerate(words):
            if word == "prognobench":
                rest = words[start + 1 :]
                ends = [i for i, one in enumerate(rest) if one in {"&&", "||", "|", ";", "&", ">"}]
                found.append(rest[: min(ends, default=len(rest))])
    return found


def parse_command(words: list[str]) -> None:
    """Parse a command line as the tool would, and do nothing; raises on an unknown option."""
    command = typer.main.get_command(app)
    context = command.make_context("prognobench", list(words), resilient_parsing=False)
    while getattr(command, "commands", None):
        words = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, words)
        context = command.make_context(name, rest, parent=context)
