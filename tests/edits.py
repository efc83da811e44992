"""Has the reader changed the course? Then what is committed of its rendering is not theirs, and tests of it are skipped."""

import subprocess

import pytest

from src.config import ROOT

RENDERED = ("configs", "src", "notebooks", "models", "outputs/reference", "README.md")


def edited() -> list[str]:
    """Files behind the rendering that are not as in the last commit; none where there is no git to ask."""
    command = ["git", "diff", "--name-only", "HEAD", "--", *RENDERED]
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []


def unedited(test):
    """Skip `test` where something was edited: a changed setting is what the course asks for, and no fault."""
    found = edited()
    reason = f"not the committed rendering any more: {', '.join(found[:3])} changed"
    return pytest.mark.skipif(bool(found), reason=reason)(test)
