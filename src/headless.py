"""Executes a stage's notebook headless: the same cells as in Jupyter, in a kernel of this interpreter.

`run.py` uses it for every stage. The executed copy is normalised, so that two equal runs give equal files;
progress comes through a side channel (`runtime.progress`), so that none of it lands in the notebook; a
failing cell is shown with its error.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat

from src import runtime
from src.config import ROOT
from src.workspace import Stage, Workspace

NOTEBOOK_FOLDER = ROOT / "notebooks"


class RunError(RuntimeError):
    """A notebook failed; the message is what the reader should see."""


def execute(stage: Stage, workspace: Workspace, flags: list[str], show: Progress) -> None:
    """Run a stage's notebook and put the executed copy beside its result. RunError when a cell fails."""
    path = NOTEBOOK_FOLDER / f"{stage.notebook}.ipynb"
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise RunError(f"notebooks/{path.name} is missing") from None
    except Exception as err:  # noqa: BLE001 - nbformat raises a dozen kinds
        raise RunError(f"notebooks/{path.name} cannot be read as a notebook: {err}") from None
    before = stamp(workspace, stage)
    try:
        _run_kernel(notebook, workspace, flags, show)
    except BrokenPipeError:  # nobody reads what is printed
        raise
    except OSError as err:  # a full or unwritable temporary folder, no more processes
        raise RunError(f"notebooks/{path.name} could not be executed: {err}") from None
    if stamp(workspace, stage) == before:
        raise RunError(f"notebooks/{path.name} ended without run.finish(metrics): it left no result")
    normalise(notebook)
    try:
        write_notebook(notebook, workspace.folder(stage.name) / path.name)
    except OSError as err:
        raise RunError(
            f"the new result is saved, but not its executed notebook ({err}): make room and run the stage again"
        ) from None


def _run_kernel(notebook: Any, workspace: Workspace, flags: list[str], show: Progress) -> None:
    """Execute `notebook` in place. RunError when a cell fails, or the kernel dies or does not start."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        progress = Path(scratch, "progress")
        progress.touch()
        errors = Path(scratch, "kernel.log")
        environment = kernel_environment(workspace, flags, progress, scratch)
        with errors.open("w+", encoding="utf-8", errors="replace") as log:
            try:
                _in_thread(_execute(notebook, environment, log, show), lambda: show.tick(progress))
            except CellExecutionError as err:
                raise RunError(describe_failure(notebook, show.cell, err)) from None
            except DeadKernelError:
                what = f"its process died in cell {show.cell + 1} (out of memory?)"
                raise RunError(f"{what}\n{_last_lines(log)}") from None
            except RuntimeError as err:
                if show.cell >= 0:
                    raise
                what = f"its process did not start ({err})"
                what += "; if its last lines do not say why, close other programs and run the stage again"
                raise RunError(f"{what}\n{_last_lines(log)}") from None
            finally:
                show.clear()


def _last_lines(log: Any) -> str:
    log.seek(0)
    return "".join(log.readlines()[-5:]).strip()


async def _execute(notebook: Any, environment: dict[str, str], log: Any, show: Progress) -> None:
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient

    class ThisInterpreter(KernelSpecManager):
        """A kernel of `sys.executable`, whatever kernels the user has installed under the same name."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python", name=kernel_name)

    async def started(cell: Any, cell_index: int) -> None:
        show.at_cell(cell_index, len(notebook.cells))

    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisInterpreter())
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK_FOLDER)}},
        on_cell_start=started,
    )
    try:
        await client.async_execute(env=environment, stdout=log, stderr=log, cleanup_kc=True)
    finally:
        # nbclient does this itself only when a kernel has started; left there, it ends Python with a traceback
        atexit.unregister(client._cleanup_kernel)
        if await manager.is_alive():
            await manager.shutdown_kernel(now=True)


def _in_thread(work: Any, tick: Callable[[], None]) -> None:
    """Run a coroutine in a thread while this one shows progress and stays free to hear Ctrl-C at once (on
    the main thread nbclient would take the signal, and wait)."""
    running: dict[str, Any] = {}

    async def cancellable() -> None:
        running["loop"], running["task"] = asyncio.get_running_loop(), asyncio.current_task()
        await work

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, cancellable())
        try:
            while not wait([future], timeout=0.2).done:
                tick()
        except BaseException:  # Ctrl-C, or nobody reads the progress any more
            # Again and again: a library that waits for the kernel may catch one cancellation and go on.
            while not future.done():
                if "task" in running:
                    with contextlib.suppress(RuntimeError):  # the loop has closed in this very moment
                        running["loop"].call_soon_threadsafe(running["task"].cancel)
                wait([future], timeout=10)
            raise
        future.result()


def kernel_environment(
    workspace: Workspace, flags: list[str], progress: Path, scratch: str
) -> dict[str, str]:
    """The environment a notebook is executed in: the same on every machine as far as results can tell."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "COURSE_SET_FLAGS")}
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return (
        environment
        | runtime.memory_environment()
        | runtime.QUIET
        | {
            "COURSE_PROFILE": workspace.profile,
            "COURSE_OUTPUTS": str(workspace.outputs),
            "COURSE_SET_FLAGS": "\n".join(flags),
            "COURSE_PROGRESS": str(progress),
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(paths),
            "IPYTHONDIR": scratch,  # a user's own start-up files must not change a result
            "JUPYTER_RUNTIME_DIR": scratch,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
    )


def describe_failure(notebook: Any, index: int, err: Any) -> str:
    """The cell's source and the end of its traceback, without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", err.traceback).strip().splitlines()
    short = plain if len(plain) <= 24 else ["…", *plain[-24:]]
    source = notebook.cells[index].source.strip().splitlines()
    lines = [
        f"cell {index + 1} of {len(notebook.cells)} failed:",
        "",
        *(f"    {line}" for line in source),
        "",
        *short,
    ]
    if not plain or err.ename not in plain[-1]:
        lines.append(f"{err.ename}: {err.evalue}")
    return "\n".join(lines)


def normalise(notebook: Any) -> None:
    """Drop what differs between two equal runs: metadata, timings, random cell ids. RunError if a widget
    got in."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:03d}"
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        for output in cell.get("outputs", []):
            if any("widget" in kind for kind in output.get("data", {})):
                raise RunError(
                    f"cell {i + 1} shows a widget, which GitHub cannot render: use plain text progress"
                )
    nbformat.validate(notebook)


def write_notebook(notebook: Any, path: Path) -> None:
    """Write beside, then rename: a reader never sees half a notebook."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        nbformat.write(notebook, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def has_copy(workspace: Workspace, stage: Stage, current: bool = False) -> bool:
    """Is the executed copy beside the result (a kill may come between them, and cells run in Jupyter leave none), and if
    `current`, does it have the cells that the notebook has now, text included?"""
    copies = []
    for folder in (workspace.folder(stage.name), NOTEBOOK_FOLDER):
        try:
            cells = nbformat.read(folder / f"{stage.notebook}.ipynb", as_version=4).cells
            copies.append([cell.source for cell in cells])
        except Exception:  # noqa: BLE001 - missing or damaged in any way: not there
            return False
    return not current or copies[0] == copies[1]


def stamp(workspace: Workspace, stage: Stage) -> tuple | None:
    """What changes when a stage gets a new result; None without one."""
    try:
        info = (workspace.folder(stage.name) / "manifest.json").stat()
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns


# ---------------------------------------------------------------- showing progress
class Progress:
    """One line per stage: rewritten in place on a terminal, one every ten seconds elsewhere (logs)."""

    def __init__(self, label: str):
        self.label, self.cell, self._cells, self._text, self._read = label, -1, 0, "", 0
        self._watch, self._shown, self._terminal = runtime.Stopwatch(), -10.0, sys.stdout.isatty()

    @property
    def seconds(self) -> float:
        return self._watch.seconds

    def at_cell(self, index: int, cells: int) -> None:
        self.cell, self._cells, self._text = index, cells, ""

    def tick(self, file: Path) -> None:
        """Show where the notebook is, with the newest line that its code gave to `runtime.progress`."""
        with file.open("rb") as lines:
            lines.seek(self._read)
            new, complete, _ = lines.read().rpartition(b"\n")
        if complete:  # a line may be empty: the work that it spoke of is done
            self._read += len(new) + 1
            self._text = new.split(b"\n")[-1].decode("utf-8", errors="replace")
        now = self._watch.seconds
        if not self._cells or not (self._terminal or now - self._shown >= 10):
            return
        self._shown = now
        text = f"{self.label}  {clock(now)}  cell {self.cell + 1}/{self._cells}  {self._text}".rstrip()
        width = _line_width()
        print(
            f"\r{text[:width]:<{width}}" if self._terminal else text[:100],
            end="" if self._terminal else "\n",
            flush=True,
        )

    def clear(self) -> None:
        if self._terminal:
            print("\r" + " " * _line_width() + "\r", end="", flush=True)


def _line_width() -> int:
    """Columns that can be written again: a line that wraps scrolls the terminal instead."""
    return max(20, min(100, shutil.get_terminal_size((101, 24)).columns - 1))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of text in columns."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows
    )
