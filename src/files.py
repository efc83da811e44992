"""Tables of text from a local file, a folder or the Hub, with errors that name the file and the row.

`data.py` reads through `load_table`. `datasets` can read the same files, but it repairs or hides what a course must
show: a missing key becomes None, a broken line an error without its number. So local files are read here, row by row.
"""

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow
import pyarrow.parquet
from datasets import load_dataset

from src.fingerprint import local_path
from src.models import hub_problem

_BEYOND_PYTHON = (ValueError, RecursionError)  # numbers of thousands of digits, brackets within brackets
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".csv", ".parquet")


class DataError(ValueError):
    """Data cannot be used; the message says which file and row, and what to do."""


def load_table(
    source: str,
    columns: Sequence[str],
    *,
    split: str = "train",
    part: str | None = None,
    max_characters: int = 100_000,
) -> tuple[list[dict[str, str]], str, bool]:
    """(rows with just `columns`, all of them text; the name for messages; whether `split` is the source's own split).

    `source` is a file, a folder laid out like a Hub dataset (files whose names begin with the split), or a Hub name;
    `part` is the subfolder to read where there is one (`data_dir` on the Hub). Raises DataError.
    """
    path = local_path(source)
    if path is None:
        return check(_from_hub(source, split, part), columns, source, max_characters), source, True
    files, own_split = ([path], False) if path.is_file() else _folder_files(path, split, part)
    rows = [row for file in files for row in check(read_file(file), columns, str(file), max_characters)]
    return rows, str(files[0] if len(files) == 1 else path), own_split


def check(
    rows: Iterable[Any], columns: Sequence[str], name: str, max_characters: int = 100_000
) -> list[dict[str, str]]:
    """The rows reduced to `columns`. DataError for the first row that lacks one of them or holds anything but text."""
    checked = []
    for number, row in enumerate(rows, start=1):
        where = f"{name}, row {number}"
        if not isinstance(row, Mapping):
            raise DataError(
                f"{where}: expected an object with {_list(columns)}, got {type(row).__name__}: {row!r:.60}"
            )
        if missing := [column for column in columns if column not in row]:
            raise DataError(
                f"{where}: no {_list(missing)} (it has {_list(row) or 'nothing'}). Rename or add the column; "
                f'every row needs {_list(columns)}, as text, which may be empty ("").'
            )
        for column in columns:
            value = row[column]
            if not isinstance(value, str):
                raise DataError(
                    f"{where}: {column!r} must be text, got {type(value).__name__}: {value!r:.60}. "
                    'Put it in quotes, write "" for nothing, or delete the row.'
                )
            if half := _HALF_CHARACTER.search(value):
                raise DataError(
                    f"{where}: {column!r} holds half a character ({half.group()!a}), which no text file can store. "
                    "Repair or delete the row."
                )
            if len(value) > max_characters:
                raise DataError(
                    f"{where}: {column!r} has {len(value):,} characters, more than {max_characters:,}. "
                    "Is a quote or a line break missing? Shorten or delete the row."
                )
        checked.append({column: row[column] for column in columns})
    if not checked:
        raise DataError(f"{name} has no rows. Check that the download or export was complete.")
    return checked


# --- Local files -----------------------------------------------------------------------------------------------


def read_file(path: Path) -> Iterator[Any]:
    """The rows of one file, unchecked. Raises DataError for a file that is damaged or of another kind."""
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise DataError(f"{path}: unknown kind of file. It can be {', '.join(SUFFIXES)}.")
    try:
        if suffix == ".parquet":
            yield from pyarrow.parquet.read_table(path).to_pylist()
        elif suffix == ".csv":
            yield from _csv_rows(path)
        else:
            yield from _json_rows(path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, pyarrow.ArrowException, csv.Error) as error:
        raise DataError(f"{path}: damaged or cut off ({error}). Download or export it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _json_rows(path: Path) -> Iterator[Any]:
    """An array of objects, or one object on each line; blank lines are allowed. Row numbers are line numbers then."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
        text = file.read()
    if text.lstrip().startswith("["):
        try:
            yield from json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {error.lineno}: broken JSON ({error.msg}). Is the file complete?"
            ) from error
        except _BEYOND_PYTHON as error:
            raise DataError(f"{path}: JSON that cannot be read ({error}). Repair the row.") from error
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: broken JSON ({error.msg}): {line[:60]!r}. Repair or delete the line; "
                    "a .json file is one array of objects, a .jsonl file one object a line."
                ) from error
            except _BEYOND_PYTHON as error:
                raise DataError(
                    f"{path}, line {number}: JSON that cannot be read ({error}). Repair it or delete the line."
                ) from error


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the length check of `check` gives the better message
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file, strict=True), start=1):
            if None in row:
                raise DataError(
                    f"{path}, row {number}: more fields than the header has. Quote fields with commas in them."
                )
            yield row


def _folder_files(folder: Path, split: str, part: str | None) -> tuple[list[Path], bool]:
    """The data files of `split`, and whether the folder knows that split (else: all its files, to be split by hash)."""
    inner = folder / part if part and (folder / part).is_dir() else folder
    files = sorted(p for p in inner.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
    files = [p for p in files if not any(piece.startswith(".") for piece in p.relative_to(inner).parts)]
    own = [p for p in files if p.name.startswith(split)]
    if own and (split == "test" or any(p.name.startswith("test") for p in files)):
        return own, True
    if files := own or files:
        return files, False
    raise DataError(f"The folder {folder} has no data file ({', '.join(SUFFIXES)}).")


# --- The Hub ---------------------------------------------------------------------------------------------------


def _from_hub(name: str, split: str, part: str | None) -> Iterable[Any]:
    """A Hub dataset; without network the cached copy, else one DataError within seconds."""
    pieces = name.split("/")
    if (
        len(pieces) != 2
        or pieces[0] in ("data", "models", "outputs")
        or not all(pieces)
        or name.lower().endswith(SUFFIXES)
        or name.startswith((".", "~"))
    ):
        raise DataError(
            f'No file or folder {name!r}. A source is "lab", a path ({", ".join(SUFFIXES)}) or owner/name of the Hub.'
        )
    problem = hub_problem()
    try:
        with _offline() if problem else nullcontext():
            return load_dataset(name, data_dir=part, split=split)
    except (OSError, ValueError, RuntimeError) as error:  # covers what datasets and huggingface_hub raise
        raise DataError(_ways_out(name, problem or f"{type(error).__name__}: {error}"[:200])) from error


@contextmanager
def _offline() -> Iterator[None]:
    """Both libraries in offline mode, so that a cached copy is found at once and nothing is tried again and again."""
    flags = [(module, module.HF_HUB_OFFLINE) for module in (datasets.config, huggingface_hub.constants)]
    try:
        for module, _ in flags:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for module, was in flags:
            module.HF_HUB_OFFLINE = was


def _ways_out(name: str, problem: str) -> str:
    folder = f"data/{name.rsplit('/', 1)[-1]}"
    return (
        f"Cannot load the dataset {name!r}: {problem}. Three ways out:\n"
        f"  1. name a local file or folder instead (instruction_data or preference_data), {', '.join(SUFFIXES)};\n"
        "  2. use the lab profile, which needs no network: python -m src.run all --profile lab;\n"
        f"  3. on a machine with network access: hf download {name} --repo-type dataset --local-dir {folder},\n"
        f"     then set the source to {folder}"
    )


def _list(names: Iterable[Any]) -> str:
    return ", ".join(repr(name) for name in names)
