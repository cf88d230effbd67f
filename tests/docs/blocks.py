"""The code blocks of the documentation, and how each kind is tried."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import typer
from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from prognobench.cli import app

REPOSITORY = Path(__file__).parents[2]
NOT_RUN = re.compile(r"<!-- not run here: (?P<reason>[^>]+?) -->\s*\Z")
NEEDS = re.compile(r"<!-- needs (?P<packages>[^>]+?) -->\s*\Z")
LANGUAGES = {"bash", "python", "yaml", "text"}
"""What a block may be: run, run, read as a spec, and layouts or tables that nothing runs."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: Its language.
        source: Its lines.
        line: Where it begins in the document.
        reason: Why it is not run here; None when it is.
        needs: Packages without which it is not run either.
    """

    language: str
    source: str
    line: int
    reason: str | None
    needs: tuple[str, ...] = ()


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
        skipped, needs = NOT_RUN.search(before), NEEDS.search(before)
        found.append(
            Block(
                region.lexemes["language"].strip(),
                str(region.lexemes["source"]),
                document.text.count("\n", 0, region.start) + 1,
                skipped["reason"] if skipped else None,
                tuple(needs["packages"].split(", ")) if needs else (),
            )
        )
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
