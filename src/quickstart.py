"""From a fresh machine to seven executed notebooks, or to a green test suite, in one command.

    python src/quickstart.py run     .venv, pinned requirements, all notebooks in the lab profile, report
    python src/quickstart.py test    .venv, pinned requirements, the whole test suite

Further words are passed on: `python src/quickstart.py run --set seeds=3`, `python src/quickstart.py test -k
losses`. It uses the standard library only, because it runs before anything is installed, and old syntax, so
that an old Python gets as far as being told that it is too old. What goes wrong is said in one line (exit
code 1).
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")
MARKER = os.path.join(VENV, "requirements.sha256")  # hash of the requirements that were installed completely
OLDEST = (3, 11)  # numpy, pandas and transformers of requirements.txt need it
NEEDED_GB = 3.0
# One process for each core, at most four: each loads torch; see tests/conftest.py
TEST = ("-q", "tests", "--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile", "--no-loadscope-reorder")

PIP_FAILURES = (  # text in pip's output → what to tell the reader; the first match counts
    (
        ("No space left on device", "Errno 28", "WinError 112"),
        "the disk is full: free some space and run this again",
    ),
    (
        ("Requires-Python", "requires a different Python"),
        "a pinned package does not support Python {version}: use Python 3.11, 3.12 or 3.13",
    ),
    (
        (
            "NewConnectionError", "ConnectTimeout", "ReadTimeoutError", "ProxyError", "SSLError", "Read timed out",
            "Temporary failure in name resolution", "getaddrinfo failed", "Name or service not known",
            "nodename nor servname", "Network is unreachable", "Connection refused", "Connection reset",
            "Max retries exceeded",
        ),
        "the Python package index cannot be reached: check the network (or proxy) and run this again",
    ),
    (
        ("No matching distribution found", "Could not find a version"),
        "a pinned package has no build for Python {version} here: try Python 3.11, 3.12 or 3.13",
    ),
    (
        ("Permission denied", "Errno 13", "Read-only file system", "Access is denied"),
        "no permission to write to {venv}: move the project to a folder of your own",
    ),
)  # fmt: skip


class Problem(Exception):
    """Something the reader can put right, in one line."""


def short(version):
    """`3.11` of a version tuple."""
    return f"{version[0]}.{version[1]}"


def python_in(venv):
    """Path of a virtual environment's interpreter."""
    return os.path.join(venv, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


def check_python(version=None):
    """Problem when this Python is too old."""
    version = version or sys.version_info
    if tuple(version[:2]) < OLDEST:
        raise Problem(
            f"this is Python {short(version)}, but the course needs {short(OLDEST)} or newer: "
            "install one and run this with it"
        )


def venv_is_sound(venv, version=None):
    """True when `venv` holds a working interpreter of this Python's version, with pip."""
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python_in(venv), "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    wanted = short(version or sys.version_info)
    return done.returncode == 0 and done.stdout.decode().strip() == wanted


def make_venv(venv):
    """Create the virtual environment, or a new one in place of a broken one or one of another Python."""
    if os.path.lexists(venv):
        if venv_is_sound(venv):
            return
        say("the folder .venv is broken or belongs to another Python: making it anew")
        try:
            (os.remove if os.path.islink(venv) or os.path.isfile(venv) else shutil.rmtree)(venv)
        except OSError as err:
            raise Problem(f"cannot remove the old {venv} ({err.strerror}): delete it by hand")
    if not os.access(os.path.dirname(venv), os.W_OK):
        raise Problem(
            f"the folder {os.path.dirname(venv)} is read-only: copy the project to a folder of your own"
        )
    say("making a virtual environment in .venv")
    done = subprocess.run(
        [sys.executable, "-m", "venv", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode or not venv_is_sound(venv):
        shutil.rmtree(venv, ignore_errors=True)
        raise Problem(venv_problem(done.stdout.decode(errors="replace"), os.path.dirname(venv)))


def venv_problem(output, folder):
    """One line for a failed `python -m venv`."""
    if "No space left" in output or "Errno 28" in output:
        return f"the disk is full: free at least {NEEDED_GB:.0f} GB and run this again"
    if "Permission denied" in output or "Read-only file system" in output:
        return f"the folder {folder} is read-only: copy the project to a folder of your own"
    if "ensurepip" in output or "No module named venv" in output:
        return (
            "this Python cannot make virtual environments: install its venv module "
            f"(Debian, Ubuntu: sudo apt install python{short(sys.version_info)}-venv)"
        )
    return f"making the virtual environment failed: {last_line(output)}"


def check_disk(folder, free=None):
    """Problem when there is not enough room for the packages."""
    free = shutil.disk_usage(folder).free if free is None else free
    if free < NEEDED_GB * 1e9:
        raise Problem(
            f"only {free / 1e9:.1f} GB free where the project is; the packages need {NEEDED_GB:.0f} GB"
        )


def requirements_hash():
    with open(REQUIREMENTS, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def is_installed():
    """True when the marker says that exactly these requirements went in."""
    try:
        with open(MARKER, encoding="ascii") as file:
            return file.read().strip() == requirements_hash()
    except (OSError, ValueError):
        return False


def install():
    """Install requirements.txt, unless that was done since it last changed."""
    if is_installed():
        return
    check_disk(ROOT)
    say("installing the packages of requirements.txt (once; a few minutes, about a gigabyte)")
    command = [python_in(VENV), "-m", "pip", "install", "--disable-pip-version-check", "-r", REQUIREMENTS]
    lines = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        if line.startswith(("Collecting", "Installing")):
            say("  " + line[:90])
    if process.wait():
        raise Problem(pip_problem("\n".join(lines)))
    with open(MARKER, "w", encoding="ascii") as file:
        file.write(requirements_hash() + "\n")


def pip_problem(output):
    """One line for a failed `pip install`."""
    for texts, told in PIP_FAILURES:
        if any(text in output for text in texts):
            return told.format(version=short(sys.version_info), venv=VENV)
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return f"installing the packages failed: {errors[0] if errors else last_line(output)}"


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def call(*words):
    """Run the environment's Python in the project's folder, output on this terminal; its exit code."""
    process = subprocess.Popen([python_in(VENV)] + list(words), cwd=ROOT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the child hears Ctrl-C as well and ends by itself; its message is enough
            continue


def run(extra):
    """All notebooks, then the report."""
    code = call("-m", "src.run", "all", *extra)
    if code:
        return code
    code = call("-m", "src.run", "report", *profile_of(extra))
    if not code:
        outputs = os.environ.get("COURSE_OUTPUTS") or "outputs"
        profile = (profile_of(extra) or ["", os.environ.get("COURSE_PROFILE") or "lab"])[1]
        say(
            f"done: executed notebooks, checkpoints, figures and the report are in {os.path.join(ROOT, outputs, profile)}"
        )
        say(
            f"next: open one in Jupyter with  {os.path.relpath(python_in(VENV), ROOT)} -m jupyter lab notebooks"
        )
    return code


def profile_of(extra):
    """`["--profile", "gpt2"]` if that is among the words, else []."""
    for i, word in enumerate(extra):
        if word.startswith("--profile="):
            return ["--profile", word.split("=", 1)[1]]
        if word == "--profile" and i + 1 < len(extra):
            return ["--profile", extra[i + 1]]
    return []


def say(text):
    print(text, flush=True)


def main(words):
    if not words or words[0] not in ("run", "test"):
        print("usage: python src/quickstart.py run|test [more words]", file=sys.stderr)
        return 2
    try:
        check_python()
        make_venv(VENV)
        install()
        return run(words[1:]) if words[0] == "run" else call("-m", "pytest", *TEST, *words[1:])
    except Problem as err:
        print(f"error: {err}", file=sys.stderr)
    except OSError as err:
        full = err.errno == 28 or getattr(err, "winerror", None) == 112
        print(f"error: {PIP_FAILURES[0][1] if full else err}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
