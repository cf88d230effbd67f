"""What typer says of a command line that it does not understand, as one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from prognobench.errors import nearest


def in_a_sentence(error: typer.TyperException) -> str:
    """Return what is wrong with a command line, and where its help is.

    Where nothing is named after a group of verbs, typer means its help, which is returned.
    """
    context: typer.Context | None = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.message
    words = error.format_message()
    option: str | None = getattr(error, "option_name", None)
    if option is not None and words.lower().startswith("no such option") and context:
        known = [name for own in context.command.params for name in _names(own.opts)]
        words = f"there is no option {option}: {nearest(option, known)}"
    where = f"`{context.command_path} --help`" if context else "`prognobench --help`"
    sentence = " ".join(words.split()).replace("Value error, ", "").rstrip(".?")
    return f"error: {sentence[:1].lower()}{sentence[1:]}; see {where}"


def _names(options: Sequence[str]) -> list[str]:
    return [name for name in options if name.startswith("--")]
