"""A user's mistakes, one after another: one sentence, what to do, exit code 2, no traceback."""

from __future__ import annotations

import os
import sys

import pytest

SPEC = {
    "name": "small",
    "cohort": "{source: synthetic, patients: 40}",
    "endpoints": "[mortality]",
    "backbones": "[demo_vit]",
    "strategies": "[linear]",
    "regimes": "[{name: full_data, folds: 2}]",
}

TABLE = "patient_id,path,mortality\np1,1.png,1\np2,2.png,0\n"


def spec(**changes: str | None) -> str:
    """Return the text of a benchmark file; None takes a key out."""
    lines = {**SPEC, **changes}
    return "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    """Mistakes are made in an empty folder."""
    monkeypatch.chdir(tmp_path)


def check(result, *told: str) -> None:
    code, _, errors = result
    assert code == 2, errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert errors.startswith("error: ")
    for words in told:
        assert words in errors


IN_THE_FILE = {
    "not YAML": (spec(name="[small"), ["spec.yaml"]),
    "a tab": ("name:\tsmall\n\tcohort: 3\n", ["spec.yaml"]),
    "empty": ("", ["spec.yaml"]),
    "a list": ("- name: small\n", ["spec.yaml"]),
    "a word": ("small\n", ["spec.yaml"]),
    "not text": ("\x00\x01", ["spec.yaml"]),
    "an unknown key": (spec(endpoint="[icu]"), ["endpoint", "did you mean 'endpoints'"]),
    "an unknown key inside": (spec(recipe="{epoch: 3}"), ["epoch", "did you mean 'epochs'"]),
    "a missing key": (spec(backbones=None), ["backbones"]),
    "a missing name": (spec(name=None), ["name"]),
    "no cohort": (spec(cohort=None), ["cohort"]),
    "a wrong type": (spec(recipe="{epochs: many}"), ["recipe.epochs"]),
    "a fraction for a count": (spec(recipe="{epochs: 1.5}"), ["recipe.epochs"]),
    "a mapping for a list": (spec(endpoints="{icu: 1}"), ["endpoints"]),
    "out of range": (spec(recipe="{epochs: 0}"), ["recipe.epochs"]),
    "none of the words": (spec(recipe="{loss: focla}"), ["recipe.loss", "focal"]),
    "an unknown backbone": (spec(backbones="[demo_vitt]"), ["did you mean 'demo_vit'"]),
    "an unknown strategy": (spec(strategies="[lorra]"), ["did you mean 'lora'"]),
    "an unknown method of peft": (spec(strategies="[{peft: DORRA}]"), ["DORRA"]),
    "an unknown option": (
        spec(strategies="[{name: lora, rank: 4}]"),
        ["no option 'rank'", "Known: lora_alpha"],
    ),
    "an unknown source": (spec(cohort="{source: mhhh}"), ["did you mean 'mhh'"]),
    "an unknown option of a source": (
        spec(cohort="{source: synthetic, patient: 40}"),
        ["did you mean 'patients'"],
    ),
    "an unknown regime": (spec(regimes="[full_dat]"), ["did you mean 'full_data'"]),
    "an unknown option of a regime": (
        spec(regimes="[{name: full_data, fold: 2}]"),
        ["did you mean 'folds'"],
    ),
    "an unknown metric": (spec(evaluation="{metric: mccc}"), ["did you mean 'mcc'"]),
    "an unknown control": (spec(controls="[clinicall]"), ["did you mean 'clinical'"]),
    "an unknown endpoint": (spec(endpoints="[mortalty]"), ["did you mean 'mortality'"]),
    "an unknown policy": (
        spec(cohort="{source: synthetic, policy: frist}"),
        ["policy", "first"],
    ),
    "a manifest that is missing": (spec(cohort="{manifest: none.csv}"), ["none.csv"]),
    "a manifest that is no table": (spec(cohort="{manifest: spec.yaml}"), ["spec.yaml"]),
    "a manifest without a column": (spec(cohort="{manifest: short.csv}"), ["patient_id"]),
    "a manifest of missing images": (spec(cohort="{manifest: table.csv}"), ["1.png"]),
    "a folder that is missing": (spec(cohort="{source: mhh, root: nowhere}"), ["nowhere"]),
    "too many folds": (spec(regimes="[{name: full_data, folds: 30}]"), ["use fewer folds"]),
    "too many patients": (
        spec(regimes="[{name: few_shot, shots: [500], episodes: 1}]"),
        [],
    ),
}


@pytest.mark.parametrize("mistake", [name for name in IN_THE_FILE if name != "too many patients"])
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_mistake_in_the_benchmark_file(call, tmp_path, mistake, verb):
    text, told = IN_THE_FILE[mistake]
    (tmp_path / "spec.yaml").write_text(text)
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "short.csv").write_text("patient,path,mortality\np1,1.png,1\n")
    check(call(verb, "spec.yaml"), *told)


ON_THE_COMMAND_LINE = [
    (["rnu", "spec.yaml"], ["'rnu'", "'run'"]),
    (["run"], ["SPEC.yaml", "prognobench run --help"]),
    (["run", "none.yaml"], ["none.yaml does not exist"]),
    (["run", "."], ["."]),
    (["run", "spec.yaml", "--outptu", "x"], ["did you mean '--output'"]),
    (["run", "spec.yaml", "--limit", "many"], ["--limit"]),
    (["run", "spec.yaml", "--limit", "-1"], ["--limit"]),
    (["run", "spec.yaml", "--device", "gpu"], ["'--device': 'gpu' is not one of", "cuda"]),
    (["run", "spec.yaml", "--output"], ["--output"]),
    (["run", "spec.yaml", "epochs"], ["epochs"]),
    (["run", "spec.yaml", "recipe.epochs="], ["recipe.epochs"]),
    (["run", "spec.yaml", "recipe.epochs=[3"], ["recipe.epochs"]),
    (["run", "spec.yaml", "recipee.epochs=3"], ["did you mean 'recipe'"]),
    (["run", "spec.yaml", "--output", "file"], ["file"]),
    (["run", "spec.yaml", "--results", "mysql://x"], ["results URL", "postgresql://"]),
    (["plan", "spec.yaml", "--output", "file"], ["file"]),
    (["report", "nowhere"], ["nowhere"]),
    (["report", "."], ["results.db"]),
    (["ls", "backbone"], ["backbones"]),
    (["pull", "resnet81"], ["did you mean 'resnet18'"]),
    (["cohort", "bulid"], ["build"]),
    (["cohort", "build", "csvv", "--output", "m.csv"], ["did you mean 'csv'"]),
    (["cohort", "build", "csv"], ["--output"]),
    (["cohort", "build", "synthetic", "--output", "m.csv", "patients"], ["patients"]),
    (["cohort", "build", "synthetic", "--output", "m.csv", "patients=x"], ["patients"]),
    (["cohort", "audit", "none.csv"], ["none.csv"]),
    (["cohort", "audit", "m.csv", "--endpoint", "icu"], ["m.csv"]),
    (["cohort", "build", "synthetic", "--output", "dir.csv", "patients=40"], ["dir.csv cannot be"]),
    (["cohort", "build", "synthetic", "--output", "file/m.csv", "patients=40"], ["file/m.csv"]),
    (["cohort", "build", "synthetic", "--output", f"{'m' * 300}.csv"], ["mmm.csv cannot be"]),
    (["cohort", "build", "synthetic", "--output", f"{'m' * 245}.csv"], ["mmm.csv cannot be"]),
    (["cohort", "audit", "table.csv", "--output", "file"], ["--output file cannot be written"]),
    (["cohort", "audit", "table.csv", "--output", "file/x"], ["--output file/x cannot be"]),
    (["cohort", "audit", "table.csv", "--policy", "frist"], ["did you mean 'first'"]),
    (["export", "nowhere", "--output", "m"], ["nowhere"]),
    (["export", "."], ["--output"]),
    (["predict", "nowhere", "file"], ["nowhere"]),
    (["predict", "nowhere"], ["no image is named"]),
    (["predict", "nowhere", "none.png"], ["none.png"]),
    (["predict", "nowhere", "file", "--output", "x.txt"], [".csv or .json"]),
    (["predict", "nowhere", "--patients", "none.csv"], ["none.csv"]),
    (["predict", "nowhere", "--threshold", "best"], ["--threshold"]),
    (["doctor", "--jsn"], ["did you mean '--json'"]),
]


@pytest.mark.parametrize(("words", "told"), ON_THE_COMMAND_LINE)
def test_a_mistake_on_the_command_line(call, tmp_path, words, told):
    (tmp_path / "spec.yaml").write_text(spec())
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "dir.csv").mkdir()
    check(call(*words), *told)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_may_not_be_written(call, tmp_path):
    (tmp_path / "spec.yaml").write_text(spec())
    (tmp_path / "locked").mkdir(mode=0o500)
    check(call("run", "spec.yaml", "--output", "locked/out"), "locked/out")


def test_what_is_no_mistake_is_not_taken_for_one(call, tmp_path):
    """A benchmark with an impossible cell is planned, and says so there."""
    (tmp_path / "spec.yaml").write_text(IN_THE_FILE["too many patients"][0])
    code, out, _ = call("plan", "spec.yaml")
    assert code == 0
    assert "not possible" in out


def test_a_broken_pipe_is_no_error(tmp_path):
    import subprocess

    ended = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -m prognobench ls metrics --json | head -1'],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert ended.stdout == "[\n"
    assert "Traceback" not in ended.stderr


def test_help_of_a_group_is_shown_where_its_verb_is_missing(call):
    code, _, errors = call("cohort")
    assert code == 2
    assert "Usage: prognobench cohort" in errors


@pytest.mark.parametrize("name", ["benchmark.yaml", "mine.yaml"])
def test_a_benchmark_file_is_not_overwritten_by_its_run(call, tmp_path, name):
    """The output folder gets the resolved spec under a name that is the user's own as well."""
    (tmp_path / "benchmark.yaml").write_text(f"# by hand\n{spec()}")
    (tmp_path / "mine.yaml").write_text(spec())
    check(call("run", name, "--output", "."), "benchmark.yaml would be overwritten", "--output")
    assert (tmp_path / "benchmark.yaml").read_text() == f"# by hand\n{spec()}"
    assert {path.name for path in tmp_path.iterdir()} == {"benchmark.yaml", "mine.yaml"}


def test_a_cohort_is_not_overwritten_by_a_run(call, tmp_path):
    (tmp_path / "mine.yaml").write_text(spec(cohort="{manifest: cohort/manifest.parquet}"))
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "manifest.parquet").write_text("by hand")
    check(call("run", "mine.yaml", "--output", "."), "manifest.parquet would be overwritten")
    assert (tmp_path / "cohort" / "manifest.parquet").read_text() == "by hand"


def test_a_run_goes_on_from_the_benchmark_file_of_its_output(call, tmp_path):
    short = {"report": "{saliency: false}", "audit": "{near_duplicates: false}"}
    (tmp_path / "spec.yaml").write_text(spec(**short))
    assert call("run", "spec.yaml", "--output", "out", "--limit", "1")[0] == 0
    again = ["run", "out/benchmark.yaml", "--output", "out", "--limit", "0"]
    assert call(*again)[0] == 0
    (tmp_path / "out" / "results.db").unlink()
    assert call(*again)[0] == 0


@pytest.mark.parametrize("output", ["own/table.csv", "own/../own/table.csv", "own/other.csv"])
def test_a_table_is_not_overwritten_by_its_manifest(call, tmp_path, output):
    (tmp_path / "own").mkdir()
    for name in ("table.csv", "other.csv", "1.png", "2.png"):
        (tmp_path / "own" / name).write_text(TABLE)
    words = ["cohort", "build", "csv", "--root", "own", "table=own/table.csv", "--output"]
    check(call(*words, output), f"{tmp_path / 'own'}", "would overwrite", "--output")
    assert (tmp_path / output).read_text() == TABLE
    # What was built before is built anew, in the folder that is read as well.
    assert [call(*words, "own/new.csv")[0] for _ in range(2)] == [0, 0]


def test_a_manifest_is_not_overwritten_by_one_that_is_built_of_it(call, tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text("")
    (tmp_path / "t.csv").write_text(TABLE)
    assert call("cohort", "build", "csv", "table=t.csv", "--output", "m.csv")[0] == 0
    check(call("cohort", "build", "csv", "table=m.csv", "--output", "m.csv"), "would overwrite")


def test_a_policy_that_is_none_is_told_where_all_else_is_right(call, tmp_path):
    assert call("cohort", "build", "synthetic", "patients=40", "--output", "m.csv")[0] == 0
    check(call("cohort", "audit", "m.csv", "--policy", "frist"), "did you mean 'first'")


def test_brackets_in_a_path_are_no_markup(call, tmp_path):
    words = ["cohort", "build", "synthetic", "patients=40", "--output"]
    for name in ("m[red].csv", "m[/b].csv", ":x:.csv"):
        code, out, _ = call(*words, name)
        assert code == 0
        assert f"wrote {name} with" in out
        assert (tmp_path / name).is_file()


def test_consoles_print_what_they_are_given(capsys):
    from prognobench.cli.console import results_console, talk_console
    from prognobench.cli.tables import print_table

    words = r"r/x[/b] [red] \[a] :x:"
    results_console().print(f"report: {words}")
    print_table(results_console(), [{"why": words}])
    talk_console().print(words)
    printed = capsys.readouterr()
    assert printed.out.count(words) == 2
    assert words in printed.err
