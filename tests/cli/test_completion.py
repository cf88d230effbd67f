"""The shell's tab key, asked as bash, zsh and fish ask."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from prognobench.cli.completion import complete_key, complete_source
from prognobench.cohorts.source import source_names
from prognobench.spec import BenchmarkSpec, EvaluationSpec, ReportSpec
from prognobench.training.recipe import Recipe

BASH = shutil.which("bash") or "bash"


def ask(shell: str, words: str, folder: Path | None = None) -> str:
    """Return what is offered after words; a blank at their end asks for the next one."""
    asking = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    found = subprocess.run(
        [sys.executable, "-m", "prognobench"],
        env={**os.environ, **asking, "_PROGNOBENCH_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert not found.stderr
    return found.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_offered_names(shell):
    offered = ask(shell, "prognobench pull dinov2")
    assert "dinov2_vits14" in offered
    assert "resnet18" not in offered


def test_verbs_sources_and_keys_are_offered():
    assert set(ask("bash", "prognobench p").split()) == {"plan", "predict", "pull"}
    assert set(ask("bash", "prognobench cohort build c").split()) >= {"csv", "cohen"}
    assert "recipe.epochs=" in ask("bash", "prognobench run spec.yaml recipe.ep")


def test_a_benchmark_s_own_candidates_are_offered(tmp_path):
    with sqlite3.connect(tmp_path / "results.db") as connection:
        connection.execute("CREATE TABLE runs (backbone, strategy, dataset, endpoint)")
        rows = [("demo_vit", "lora r=8", "mhh", "icu"), ("control", "prevalence", "mhh", "icu")]
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?)", rows)
    asked = f"prognobench export {tmp_path} "
    assert ask("bash", f"{asked}--strategy ").splitlines() == ["lora r=8"]
    assert ask("bash", f"{asked}--task ").splitlines() == ["mhh/icu"]
    assert ask("bash", "prognobench export nowhere --strategy li").split() == ["linear"]


def test_the_keys_are_those_of_the_models():
    parts = {"recipe": Recipe, "evaluation": EvaluationSpec, "report": ReportSpec}
    known = {name for name in BenchmarkSpec.model_fields if name not in parts}
    known |= {f"{part}.{name}" for part, model in parts.items() for name in model.model_fields}
    assert complete_key("") == sorted(f"{name}=" for name in known)


def test_the_sources_are_those_of_the_registry():
    assert complete_source("") == source_names()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_is_shown_and_sound(shell):
    shown = subprocess.run(
        [sys.executable, "-m", "prognobench"],
        env={**os.environ, "_PROGNOBENCH_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"_PROGNOBENCH_COMPLETE=complete_{shell}" in shown
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=shown, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_after_it_was_installed(tmp_path):
    """In a home of its own: install, start a new shell, press tab."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    command = bin_folder / "prognobench"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m prognobench "$@"\n')
    command.chmod(0o755)
    home = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        [BASH, "-c", "prognobench --install-completion bash"],
        env=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    press = (
        "source ~/.bashrc; COMP_WORDS=(prognobench pull dinov2_vitb); COMP_CWORD=2; "
        "_prognobench_completion prognobench; echo ${COMPREPLY[@]}"
    )
    found = subprocess.run(
        [BASH, "-c", press], env=home, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["dinov2_vitb14"], found.stderr
