"""What runs on GitHub and on Binder: least privileges, everything pinned."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
JOBS = [
    pytest.param(workflow, name, id=f"{workflow}-{name}")
    for workflow, content in WORKFLOWS.items()
    for name in content["jobs"]
]

# Every permission beyond reading the source, and there is no other.
MAY_WRITE = {
    ("pages", "notebooks"): {"contents": "write"},
    ("pages", "deploy"): {"pages": "write", "id-token": "write"},
    ("weekly", "report"): {"issues": "write"},
    ("release", "publish"): {"contents": "write"},
}


def job(workflow: str, name: str) -> dict[str, Any]:
    return WORKFLOWS[workflow]["jobs"][name]


def test_the_workflows_are_these():
    assert set(WORKFLOWS) == {"ci", "pages", "release", "weekly"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_pinned_by_commit_and_say_which_version(file: Path):
    for line in file.read_text(encoding="utf-8").splitlines():
        if "uses:" in line:
            assert re.search(r"uses: actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_one_version_of_an_action_throughout():
    uses = {
        tuple(use.split("@"))
        for file in FILES
        for use in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))
    }
    assert len({action for action, _ in uses}) == len(uses)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_grants_nothing_to_all_its_jobs(workflow: str):
    assert WORKFLOWS[workflow]["permissions"] == {}


@pytest.mark.parametrize(("workflow", "name"), JOBS)
def test_a_job_may_do_what_it_has_to(workflow: str, name: str):
    wanted = MAY_WRITE.get((workflow, name), {"contents": "read"})
    assert job(workflow, name)["permissions"] == wanted


@pytest.mark.parametrize(("workflow", "name"), JOBS)
def test_what_may_write_runs_no_code_of_the_repository(workflow: str, name: str):
    uses = [step.get("uses", "").partition("@")[0] for step in job(workflow, name)["steps"]]
    assert ("actions/checkout" in uses) != ((workflow, name) in MAY_WRITE)


@pytest.mark.parametrize(("workflow", "name"), JOBS)
def test_a_job_ends_and_keeps_no_credentials(workflow: str, name: str):
    assert job(workflow, name)["timeout-minutes"] <= 180
    for step in job(workflow, name)["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("workflow", "name"), JOBS)
def test_no_script_is_written_by_an_event(workflow: str, name: str):
    for step in job(workflow, name)["steps"]:  # a branch's name would be pasted into the script
        assert "${{" not in step.get("run", "")


def test_nothing_runs_with_privileges_on_a_strangers_pull_request():
    for content in WORKFLOWS.values():
        events = content[True]  # YAML reads the key `on` as a truth value
        assert not {"pull_request_target", "workflow_run"} & set(events)
    assert [name for name, content in WORKFLOWS.items() if "pull_request" in content[True]] == [
        "ci"
    ]


def test_every_make_target_that_a_workflow_calls_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = {
        target
        for file in FILES
        for target in re.findall(r"\bmake ([a-z-]+)", file.read_text(encoding="utf-8"))
    }
    assert called
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in called)


def test_ci_compares_the_numbers_of_its_own_build():
    commands = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    runs = [step.get("run", "").partition(" ")[0] for step in job("ci", "build")["steps"]]
    assert ".ci/run" in runs
    cloned = next(n for n, line in enumerate(commands) if line.startswith("git clone"))
    assert cloned < commands.index("make test") < commands.index("make fresh")
    assert not any(re.search("make (dist)?clean", line) for line in commands)
    for check in ("-m bookbuild compare", "-m bookbuild outputs --check"):
        at = next(n for n, command in enumerate(commands) if check in command)
        assert commands.index("make fresh") < at
        assert not re.search(r"\|\||&", commands[at])  # its failure is the script's
    assert "set -euo pipefail" in commands


def test_what_may_write_runs_for_the_main_branch_or_a_tag_alone():
    # `pages` can be started by hand on any branch; `deploy` waits for `notebooks`.
    assert job("pages", "notebooks")["if"] == "github.ref == 'refs/heads/main'"
    assert "notebooks" in job("pages", "deploy")["needs"]
    assert WORKFLOWS["release"][True] == {"push": {"tags": ["v*"]}}
    assert set(WORKFLOWS["weekly"][True]) == {"schedule", "workflow_dispatch"}


def test_the_weekly_build_pins_nothing_and_leaves_the_pins_to_the_tests():
    scripts = [step.get("run", "") for step in job("weekly", "rebuild")["steps"]]
    installing = next(at for at, script in enumerate(scripts) if "make" in script)
    assert scripts[installing].startswith("make setup CONSTRAINTS=/dev/null")
    assert not any("> constraints.txt" in script for script in scripts)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "pip install" not in makefile
    (install,) = re.findall(r"^INSTALL = .*", makefile, re.MULTILINE)
    assert '-m bookbuild.install --constraints "$(CONSTRAINTS)"' in install


def test_a_release_has_what_the_book_says_that_it_has():
    scripts = [step.get("run", "") for step in job("release", "build")["steps"]]
    for asset in ("one-bound-$GITHUB_REF_NAME.pdf", "one-bound-$GITHUB_REF_NAME-html.tar.gz"):
        (script,) = (script for script in scripts if f'name="{asset}"' in script)
        assert 'cd assets && sha256sum "$name" > "$name.sha256"' in script


def test_binder_installs_through_the_constraints_and_opens_pages_as_notebooks():
    script = ROOT / ".binder/postBuild"
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    for command in re.findall(r"pip install(?:.*\\\n)*.*", text):
        assert "-c constraints.txt" in command
        assert "--no-cache-dir" in command
        assert "https://download.pytorch.org/whl/cpu" in command
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"^jupytext==", pinned, re.MULTILINE)
    viewers = json.loads((ROOT / ".binder/overrides.json").read_text(encoding="utf-8"))
    (settings,) = viewers.values()
    assert settings["defaultViewers"]["markdown"] == "Jupytext Notebook"
    assert "python -m bookbuild notebooks" in text
