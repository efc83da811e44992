"""src/quickstart.py: a project without dependencies from nothing to done, and every failure as one line."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys

import pytest

from src import quickstart
from src.config import ROOT
from tests import conftest

FAKE_RUN = "import sys; print('src.run', *sys.argv[1:]); sys.exit(5 if 'fail' in sys.argv else 0)\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "src").mkdir()
    shutil.copy(ROOT / "src" / "quickstart.py", tmp_path / "src")
    (tmp_path / "src" / "__init__.py").touch()
    (tmp_path / "src" / "run.py").write_text(FAKE_RUN)
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    return tmp_path


def start(project, *words, **environment):
    done = subprocess.run(
        [sys.executable, project / "src" / "quickstart.py", *words], capture_output=True, text=True, check=False,
        env=os.environ | {"PIP_NO_INDEX": "1"} | environment, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def test_from_nothing_to_done_then_quick_then_changed(project):
    first = start(project, "run", "--set", "seeds=2")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "making a virtual environment" in first.stdout and "installing the packages" in first.stdout
    assert "src.run all --set seeds=2" in first.stdout and "src.run report\n" in first.stdout
    assert f"are in {project / 'outputs' / 'lab'}" in first.stdout
    again = start(project, "run", "fail")
    assert again.returncode == 5 and "making" not in again.stdout and "installing" not in again.stdout
    reported = start(project, "run", "--profile", "gpt2")
    assert "src.run report --profile gpt2" in reported.stdout
    assert str(project / "outputs" / "gpt2") in reported.stdout

    (project / "requirements.txt").write_text("no-such-package-of-ours==1.0\n")
    missing = start(project, "run")
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1
    assert "a pinned package has no build for Python" in missing.stderr
    assert "installing" in start(project, "run").stdout  # the marker is of the old requirements only

    (project / "requirements.txt").write_text("# changed\n")
    tested = start(project, "test", "-x")
    assert "making" not in tested.stdout and "installing" in tested.stdout
    assert tested.returncode == 1 and "No module named pytest" in tested.stderr


def test_a_broken_environment_is_made_anew(tmp_path, monkeypatch, capsys):
    venv, made = tmp_path / ".venv", []

    def run(command, **_):
        if command[1] == "-c":  # is the environment sound?
            return subprocess.CompletedProcess(
                command, 0 if made else 1, f"{quickstart.short(sys.version_info)}".encode()
            )
        made.append(command)
        return subprocess.CompletedProcess(command, 0, b"")

    monkeypatch.setattr(quickstart.subprocess, "run", run)
    (venv / "bin").mkdir(parents=True)
    quickstart.make_venv(str(venv))
    assert made == [[sys.executable, "-m", "venv", str(venv)]] and not venv.exists()
    assert "broken or belongs to another Python: making it anew" in capsys.readouterr().out
    venv.write_text("a file in the way")
    made.clear()
    quickstart.make_venv(str(venv))
    assert len(made) == 1 and not venv.exists()
    venv.mkdir()
    quickstart.make_venv(str(venv))
    assert len(made) == 1  # sound: left alone


def test_too_old_python_and_full_disk():
    with pytest.raises(quickstart.Problem, match=r"this is Python 3\.9, but the course needs 3\.11 or newer"):
        quickstart.check_python((3, 9, 1))
    quickstart.check_python((3, 14, 0))
    with pytest.raises(quickstart.Problem, match=r"only 1\.0 GB free .* need 3 GB"):
        quickstart.check_disk(".", free=1e9)
    quickstart.check_disk(".", free=4e9)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        (
            "WARNING: Retrying ... NewConnectionError\nERROR: No matching distribution found for torch",
            "network",
        ),
        ("Temporary failure in name resolution\nERROR: Could not find a version", "cannot be reached"),
        ("ERROR: Package 'x' requires a different Python: 3.10.2 not in '>=3.11'", "use Python 3.11"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build for Python"),
        ("ERROR: [Errno 13] Permission denied: '/x'", "no permission to write"),
        ("line\nERROR: something else\nlast", "failed: ERROR: something else"),
        ("", "failed: no output"),
    ],
)
def test_pip_failures_are_one_line(output, told):
    message = quickstart.pip_problem(output)
    assert told in message and "\n" not in message


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "The virtual environment was not created successfully because ensurepip is not available.",
            "-venv)",
        ),
        ("/usr/bin/python: No module named venv", "install its venv module"),
        ("Error: [Errno 28] No space left on device", "disk is full"),
        ("Error: [Errno 13] Permission denied: '/x/.venv'", "read-only"),
        ("first\nlast", "failed: last"),
    ],
)
def test_venv_failures_are_one_line(output, told):
    message = quickstart.venv_problem(output, "/x")
    assert told in message and "\n" not in message


def test_a_read_only_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart.os, "access", lambda path, mode: False)
    with pytest.raises(quickstart.Problem, match="read-only"):
        quickstart.make_venv(str(tmp_path / ".venv"))
    assert not (tmp_path / ".venv").exists()


def test_main_turns_everything_into_an_exit_code(monkeypatch, capsys):
    assert quickstart.main([]) == quickstart.main(["walk"]) == 2
    for raised, code, told in (
        (quickstart.Problem("one line"), 1, "error: one line\n"),
        (OSError(28, "No space left on device"), 1, "error: the disk is full"),
        (OSError(13, "Permission denied"), 1, "Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ):
        capsys.readouterr()

        def fails(venv, raised=raised):
            raise raised

        monkeypatch.setattr(quickstart, "make_venv", fails)
        assert quickstart.main(["run"]) == code
        assert told in capsys.readouterr().err


def test_a_venv_of_another_python_is_not_sound(tmp_path):
    assert quickstart.venv_is_sound(sys.prefix)
    assert not quickstart.venv_is_sound(sys.prefix, (3, 5))
    assert not quickstart.venv_is_sound(str(tmp_path))


def test_it_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "src" / "quickstart.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names <= set(sys.stdlib_module_names) and not [
        n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
    ]


def test_every_requirement_is_pinned_and_explained():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert len(packages) > 15
    for line in packages:
        pin, _, comment = line.partition("#")
        assert "==" in pin and len(comment.strip()) > 5, line


def test_the_files_that_start_first_exist_and_every_worker_has_its_cores(monkeypatch):
    assert [name for name in conftest.LONGEST if not (ROOT / "tests" / name).exists()] == []
    monkeypatch.setattr(conftest, "thread_count", lambda: 6)
    for workers, threads in (("1", "6"), ("3", "2"), ("4", "1"), ("8", "1")):
        monkeypatch.setenv("OMP_NUM_THREADS", "6")
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        conftest.pytest_configure()
        assert conftest.os.environ["OMP_NUM_THREADS"] == threads, workers
