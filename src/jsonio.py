"""Results as JSON files that any program can read: plain numbers, no NaN, one clear error for a damaged file.

`workspace.py` writes every manifest, metric and cached result through `write_json`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any


class JSONFileError(RuntimeError):
    """A JSON file of a stage is missing or damaged."""


def write_json(path: Path, value: Any) -> Path:
    """Write what `to_jsonable` makes of `value`; returns `path`. TypeError for a value that it refuses (then nothing
    is written), OSError when the file cannot be written."""
    path.write_text(
        json.dumps(to_jsonable(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; JSONFileError when it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JSONFileError(f"its {path.name} is missing") from None
    except (OSError, ValueError, RecursionError) as err:
        raise JSONFileError(f"its {path.name} is damaged ({err})") from None
    if not isinstance(value, dict):
        raise JSONFileError(f"its {path.name} is damaged (not an object)")
    return value


def to_jsonable(value: Any, where: str = "value") -> Any:
    """Plain JSON values: dataclasses → dicts, tuples and sets → lists, NumPy and torch values → numbers and
    lists, NaN and ±inf → None. TypeError naming the place (`value.loss[3]`) for anything else."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        plain = {str(_scalar(key)): to_jsonable(item, f"{where}.{key}") for key, item in value.items()}
        if len(plain) != len(value):
            raise TypeError(f"{where}: two keys are the same once written as text")
        return plain
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple)):
        return [to_jsonable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    plain = _scalar(value)
    if plain is value:
        raise TypeError(f"{where}: cannot write a {type(value).__name__} as JSON")
    return to_jsonable(plain, where)


def _scalar(value: Any) -> Any:
    """NumPy and torch scalars and arrays as plain values; everything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return value.tolist() if hasattr(value, "tolist") else value
