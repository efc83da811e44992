"""What a result was made of, as hashes: code, base model, weights. `workspace.py` uses them to tell fresh
from STALE.

Code is hashed as the parser sees it, without comments, docstrings and layout, so that better wording does
not ask for a new training run; and only the modules that a notebook really imports count, so that a change
in `ppo.py` concerns notebook 07 and not notebook 01.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import json
import marshal
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from src.config import ROOT

# these move results around, draw or show them; they cannot change one
NO_RESULT = {
    *("schema", "config", "fingerprint", "jsonio", "locks", "parallel", "workspace"),
    *("run", "headless", "plan", "quickstart", "report", "plots", "notebook", "chat", "lab.pretrain"),
}


GENERATED = ("lab", "gold")  # the lab's rows and its rubric: code, not files
HUB_NAME = re.compile(r"([\w.-]+/)?[\w.-]+")
LOCAL_FOLDERS = ("models", "outputs")  # names that begin like this are never asked of the Hub


def text_hash(text: str | bytes) -> str:
    """16 hex digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def json_hash(value: Any) -> str:
    return text_hash(json.dumps(value, sort_keys=True))


def file_sha256(path: Path) -> str:
    stat = path.stat()
    return _file_sha256(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_sha256(path: str, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_hashes(folder: Path, patterns: Iterable[str] = ("*.safetensors",)) -> dict[str, str]:
    """Path below `folder` (with `/`) → sha256, for every file that matches a pattern at any depth."""
    files = sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def local_path(name: str) -> Path | None:
    """The file or folder of that name, if there is one: absolute, with `~`, or below the project's root. The working directory
    does not count: a notebook's is another one than that of `status`."""
    with contextlib.suppress(OSError, RuntimeError):  # a folder that we may not look into; `~` of nobody
        path = ROOT / Path(name).expanduser()
        return path if path.exists() else None
    return None


def base_model_source(name: str) -> Path | str:
    """Where a model is: a folder (relative ones start at the project's root), `models/<repository>` if a Hub model was
    downloaded there (`openai-community/gpt2` → `models/gpt2`), or else `name` as it is: one on the Hub, or nowhere."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = ROOT / Path(name).expanduser()
        if folder.is_dir():
            return folder
    owner, _, repository = name.rpartition("/")
    local = ROOT / "models" / repository
    on_hub = HUB_NAME.fullmatch(name) and owner not in LOCAL_FOLDERS
    return local if on_hub and (local / "config.json").is_file() else name


def base_model_hash(name: str) -> str:
    """Hash of weights, tokenizer and config of a local base model; of the name for one on the Hub."""
    source = base_model_source(name)
    if isinstance(source, str):
        return text_hash(source)
    return json_hash(
        folder_hashes(source, ("*.safetensors", "config.json", "tokenizer.json", "vocab.json", "merges.txt"))
    )


def source_hashes(sources: dict[str, str]) -> dict[str, str]:
    """Key → hash of what is in a source, for the sources that are files or folders here (data, or an LLM judge).

    The name of a file says nothing of its rows. What the lab generates is code, and what comes from the Hub has its name.
    """
    found = {}
    for key, source in sources.items():
        if source in GENERATED:
            continue
        path = local_path(source) or base_model_source(source)
        try:
            if isinstance(path, Path):
                found[key] = file_sha256(path)[:16] if path.is_file() else json_hash(_visible(path))
        except OSError as err:  # whoever reads the rows will say it with their name
            found[key] = f"cannot be read ({type(err).__name__})"
    return found


def _visible(folder: Path) -> dict[str, str]:
    """`folder_hashes` of all files but hidden ones, which a file manager or a download leaves and no reader reads."""
    found = folder_hashes(folder, ("*",))
    return {name: sha256 for name, sha256 in found.items() if not re.search(r"(^|/)\.", name)}


# ---------------------------------------------------------------- code
# Both functions that parse remember texts, not files: a run asks for the same thirty modules a hundred times,
# at a second each time, and a file that has changed is another text.
@lru_cache(maxsize=512)
def normal_form(source: str) -> str:
    """Source without comments, docstrings and layout; as it stands if it does not parse."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) and ast.get_docstring(node, False):
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def imported_modules(source: str, root: Path = ROOT, package: str = "src") -> set[str]:
    """Dotted names below `src` that a source text imports, wherever in the text: `losses`, `lab.tasks`.

    `package` is the one that the text belongs to: `from .tasks import Task` in `src.lab` means `src.lab.tasks`.
    """
    return {name for name in _imported_names(source, package) if _module_file(name, root)}


@lru_cache(maxsize=512)
def _imported_names(source: str, package: str) -> frozenset[str]:
    """What `source` imports below `src`, modules and what is in them alike."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return frozenset()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            home = ".".join([*above, *filter(None, [node.module])])
            names |= {home} | {f"{home}.{alias.name}" for alias in node.names}
    return frozenset(name[4:] for name in names if name.startswith("src."))


def _module_file(name: str, root: Path) -> Path | None:
    base = root.joinpath("src", *name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def code_hashes(names: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """`src/losses.py` → hash, for the named modules and all they import, without those that cannot change a
    result."""
    todo, found = set(names), {}
    while todo:
        name = todo.pop()
        path = _module_file(name, root)
        if path is None or name in NO_RESULT or path.relative_to(root).as_posix() in found:
            continue
        source = path.read_text(encoding="utf-8")
        found[path.relative_to(root).as_posix()] = text_hash(normal_form(source))
        home = f"src.{name}" if path.name == "__init__.py" else f"src.{name}".rpartition(".")[0]
        todo |= imported_modules(source, root, home)
        todo |= {name.rpartition(".")[0]} - {""}  # importing lab.tasks runs lab/__init__.py
    return dict(sorted(found.items()))


def notebook_source(path: Path) -> str:
    """The code cells of a notebook as one text, without `%magic` and `!shell` lines."""
    text = path.read_text(encoding="utf-8")
    try:
        code = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):  # half saved: whatever it is, it is not what ran
        return text
    return re.sub(r"(?m)^\s*[%!].*$", "", "\n".join(code))


def notebook_code(path: Path, root: Path = ROOT) -> dict[str, str]:
    """Hash of a notebook's code cells and of every module they lean on; nothing where there is no such notebook."""
    if not path.is_file():
        return {}
    source = notebook_source(path)
    return {f"notebooks/{path.name}": text_hash(normal_form(source))} | code_hashes(
        imported_modules(source, root), root
    )


def function_hash(function: Callable, root: Path = ROOT) -> str:
    """Hash of a function's code, of the functions it calls in the same notebook, and of the `src` modules
    any of them uses.

    Values are not looked at: whatever a cached computation depends on besides code must be in its `params`.
    """
    own: dict[str, str] = {}
    modules: set[str] = set()
    _collect(function, own, modules)
    return json_hash([own, code_hashes(modules, root)])


def _collect(function: Any, own: dict[str, str], modules: set[str]) -> None:
    code = getattr(function, "__code__", None)
    if function.__module__.startswith("src."):
        modules.add(function.__module__[4:])
        return
    if code is None or function.__qualname__ in own:
        return
    try:
        made_of = text_hash(normal_form(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError):  # typed into a console: no source; any edit counts
        made_of = text_hash(marshal.dumps(code))
    name = function.__qualname__
    name = f"{name} {made_of}" if name.endswith("<lambda>") else name  # all of them have one name
    if name in own:
        return
    own[name] = made_of
    closure = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    for name in _names(code) | set(closure):
        if name.startswith("src."):
            modules.add(name[4:])
            continue
        try:
            value = closure[name].cell_contents if name in closure else function.__globals__[name]
        except (KeyError, ValueError):  # an attribute's name, a builtin, or not bound yet
            continue
        table = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list, tuple)):
            for part in filter(inspect.isfunction, table):  # one of them will be called
                _collect(part, own, modules)
        home = getattr(value, "__module__", None) or getattr(value, "__name__", None) or ""
        if inspect.ismodule(value):
            home = value.__name__
        if home.startswith("src."):
            modules.add(home[4:])
        elif home == function.__module__:
            _collect(value, own, modules)


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))
