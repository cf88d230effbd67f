"""The examples in the help of every verb are command lines that the tool understands."""

from __future__ import annotations

import pytest
import typer
from blocks import own_commands, parse_command

from prognobench.cli import app
from prognobench.cli.examples import EXAMPLES


def verbs(command, name=""):
    """Yield every verb of the tool with its command, groups included."""
    yield name, command
    for own, child in getattr(command, "commands", {}).items():
        yield from verbs(child, f"{name} {own}".strip())


VERBS = dict(verbs(typer.main.get_command(app)))


def test_every_verb_has_examples_and_no_other_has():
    assert EXAMPLES.keys() == VERBS.keys()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_shows_its_examples_in_whole_lines(verb):
    context = typer.Context(VERBS[verb], info_name="prognobench")
    lines = [line.strip() for line in VERBS[verb].get_help(context).splitlines()]
    for example in EXAMPLES[verb]:
        assert example in lines


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_is_understood(verb):
    for example in EXAMPLES[verb]:
        ((*words,),) = own_commands(example)
        assert " ".join(words).startswith(verb.split()[0] if verb else "")
        parse_command(words)
