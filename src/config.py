"""Typed stage configurations: one YAML file per notebook, both profiles side by side, no silent mistakes.

`load_config("06")` is what `open_stage` of every notebook begins with. The values come from `configs/common.yaml` and the
notebook's own file (which may restate a common key, and then wins), then from the environment
(`COURSE_SET="train.epochs=1;data.rows=20"`), then from `--set train.epochs=1`. A value is written once for
both profiles or as `{lab: 3.0e-4, gpt2: 2.0e-5}`.

A typo in a YAML file must stop the run, not train with a default: there are no defaults in code, every key
must be in a file, and every error names the key, the file and the line, and what would have been right.

What may be set, with types and ranges, is in `schema.py`; rules between settings are in `TOGETHER`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml

from src.schema import (
    EVERYWHERE,
    NOTEBOOKS,
    PROFILES,
    Choice,
    NoResult,
    Range,
    dotted,
    fields_of,
    nearest,
    schema,
    section_of,
    sections,
)

ROOT = Path(__file__).resolve().parents[1]
CONFIG_FOLDER = ROOT / "configs"
Kind = TypeVar("Kind")


class ConfigError(ValueError):
    """A mistake in a configuration file, an override or the environment, in one sentence a reader can act
    on."""


# ---------------------------------------------------------------- the resolved configuration
class Config:
    """Resolved values of one stage: `cfg.train.learning_rate`, `cfg.base_model`;
    `cfg.source["train.epochs"]`."""

    def __init__(self, stage: str, profile: str, values: Mapping[str, Any], source: Mapping[str, str]):
        self.stage, self.notebook, self.profile = stage, NOTEBOOKS[stage], profile
        self.source = dict(source)
        self._values = dict(values)
        self._sections = {
            section: kind(**{f.name: self._values[dotted(section, f.name)] for f in dataclasses.fields(kind)})
            for section, kind in sections(stage).items()
        }

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("_sections", {})
        if name in parts:
            return parts[name]
        if "common" in parts and hasattr(parts["common"], name):
            return getattr(parts["common"], name)
        raise AttributeError(
            f"stage {self.__dict__.get('stage')} has no setting {name!r}; it has {', '.join(parts)}"
        )

    def flat(self) -> dict[str, Any]:
        """Dotted name → value, in the order of the section classes; lists are JSON lists."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in self._values.items()
        }

    def result_values(self) -> dict[str, Any]:
        """`flat()` without what cannot change a result."""
        fields = schema(self.stage)
        return {key: value for key, value in self.flat().items() if NoResult not in fields[key][1]}

    def hash(self) -> str:
        """16 hex digits over the profile's resolved values that can change a result."""
        return hashlib.sha256(json.dumps(self.result_values(), sort_keys=True).encode()).hexdigest()[:16]


def stage_number(stage: str | int) -> str:
    """`6`, `"06"` or `"06_instruct_tuning_training"` → `"06"`; ConfigError for anything else."""
    number = str(stage).split("_")[0].zfill(2)
    if number not in NOTEBOOKS or ("_" in str(stage) and str(stage) != NOTEBOOKS[number]):
        raise ConfigError(f"there is no stage {stage!r}; the stages are {', '.join(NOTEBOOKS)}")
    return number


def load_config(
    stage: str | int,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path = CONFIG_FOLDER,
) -> Config:
    """Resolve one stage. `overrides` are `key=value` texts as given to `--set`; each must belong to this
    stage.

    Environment: COURSE_PROFILE (when `profile` is None), COURSE_SET (`;` between overrides; a key of
    another stage is passed over, a key of no stage is an error), COURSE_SET_FLAGS (how `src.run` hands
    `--set` to a notebook, one a line). Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    stage = stage_number(stage)
    profile = check_profile(profile or environ.get("COURSE_PROFILE") or PROFILES[0])
    fields = schema(stage)
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    own, common = f"{NOTEBOOKS[stage]}.yaml", "common.yaml"
    for name, allowed in ((common, EVERYWHERE), (own, sections(stage))):
        known = [key for key in fields if section_of(key) in allowed]
        for key, value, where in _read(folder, name, fields, known, profile):
            values[key], source[key] = value, where
    for key in fields:
        if key not in values:
            raise _missing(key, common if section_of(key) in EVERYWHERE else own)

    asked = [(text, "environment") for text in environment_overrides(environ)]
    flags = environ.get("COURSE_SET_FLAGS", "").split("\n")
    asked += [(text, "--set") for text in [*filter(None, flags), *overrides]]
    for text, where in asked:
        # in the environment a key of another stage is passed over; one of no stage is a typo, whoever reads it
        if stage in takers(text, NOTEBOOKS if where == "environment" else [stage]):
            key, raw = _split(text)[1:]
            values[key] = _convert(
                _compose(raw, fields[key][0], f"{where}: {text}"), fields[key], key, where, raw
            )
            source[key] = where
    cfg = Config(stage, profile, {key: values[key] for key in fields}, source)
    _check_together(cfg)  # only now: settings that belong together are changed by several overrides
    return cfg


_ONE_OF = "one of", lambda value, allowed: value in allowed
_MULTIPLE = "a multiple of", lambda value, *factors: value % math.prod(factors) == 0
_AT_MOST = "at most", lambda value, limit: value <= limit
TOGETHER = {  # stage → (key, what it must be, the keys that this is about)
    "06": [
        ("ablation.source_beta", _ONE_OF, "ablation.betas"),
        ("filter.min_words", _AT_MOST, "filter.max_words"),
    ],
    "07": [
        ("ppo.batch_size", _MULTIPLE, "ppo.mini_batch_size", "ppo.gradient_accumulation_steps"),
        ("ppo.batch_size", _MULTIPLE, "ppo.responses_per_prompt"),
        ("journey.v1_steps", _MULTIPLE, "ppo.measure_every"),
        ("journey.v1_steps", _AT_MOST, "journey.v2_steps"),
    ],
}


def _check_together(cfg: Config) -> None:
    """The rules of `TOGETHER`. ConfigError names all settings of the broken one, and where each was set."""
    values = cfg.flat()
    for key, (rule, holds), *others in TOGETHER.get(cfg.stage, ()):
        if not holds(values[key], *(values[other] for other in others)):
            told = " x ".join(f"{other} = {_show(values[other])} ({cfg.source[other]})" for other in others)
            raise ConfigError(
                f"{cfg.source[key]}: {key} = {_show(values[key])}: must be {rule} {told}; change one of them"
            )


def read_section(kind: type[Kind], file: str, folder: Path = CONFIG_FOLDER) -> Kind:
    """`kind` from a file of its own without profiles, such as configs/fsdp.yaml. Raises ConfigError."""
    fields = fields_of(kind)
    values = {key: value for key, value, _ in _read(folder, file, fields, list(fields), profile=None)}
    for key in fields:
        if key not in values:
            raise _missing(key, file)
    return kind(**values)


def config_beside(stage: str | int, cfg: Config) -> Config:
    """The configuration that another stage has in a run like this one: its own file, and what all stages share (base
    model, data, judge, evaluation) as in `cfg`, wherever that came from. ConfigError for an unknown stage."""
    other = load_config(stage, cfg.profile, environ={})
    values, source = dict(other._values), dict(other.source)
    for key in [key for key in values if section_of(key) in EVERYWHERE]:
        if not cfg.source[key].startswith(f"configs/{cfg.notebook}"):  # what 02 restates is 02's alone
            values[key], source[key] = cfg._values[key], cfg.source[key]
    return Config(other.stage, other.profile, values, source)


def check_profile(profile: str) -> str:
    if profile not in PROFILES:
        raise ConfigError(
            f"unknown profile {profile!r}; the profiles are {', '.join(PROFILES)}{nearest(profile, PROFILES)}"
        )
    return profile


def environment_overrides(environ: Mapping[str, str]) -> list[str]:
    """COURSE_SET cut at its semicolons."""
    return [text.strip() for text in environ.get("COURSE_SET", "").split(";") if text.strip()]


def takers(text: str, stages: Iterable[str]) -> list[str]:
    """Those of `stages` that an override `[NN:]key=value` applies to; ConfigError when there are none."""
    only, key, _ = _split(text)
    stages = list(stages)
    wanted = [s for s in stages if only in (None, s)]
    found = [s for s in wanted if key in schema(s)]
    if found or (only and not wanted):
        return found
    others = [s for s in NOTEBOOKS if key in schema(s)]
    if others:
        raise ConfigError(
            f"{text}: {key} is not a key of stage {', '.join(wanted)}; it is one of {', '.join(others)}"
        )
    known = list(dict.fromkeys(k for s in wanted for k in schema(s)))
    raise ConfigError(f"{text}: unknown key {key}{nearest(key, known)}")


# ---------------------------------------------------------------- reading
def _read(folder: Path, file: str, fields: dict, known: list[str], profile: str | None):
    """Yield (dotted key, value, "configs/x.yaml:12") of one file; `profile` is None where there are no sides."""
    where = f"configs/{file}"
    try:
        root = _parse((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{where} is missing in {folder}") from None
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{where} cannot be read: {err}") from None
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply") from None
    except yaml.YAMLError as err:
        raise ConfigError(_syntax(err, where)) from None
    except (ValueError, OverflowError) as err:  # escapes and version numbers that the library does not check
        raise ConfigError(f"{where} is not YAML: {err}") from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{where}:{_line(root)}: expected `key: value` lines")
    names = {key.split(".")[0] for key in known if "." in key}
    for key, (node, line) in _pairs(root, where).items():
        if key in names:
            if not isinstance(node, yaml.MappingNode):
                raise ConfigError(
                    f"{where}:{_line(node)}: {key} is a section; put its keys below it, indented"
                )
            inner = {f"{key}.{sub}": leaf for sub, leaf in _pairs(node, where).items()}
        else:
            inner = {key: (node, line)}
        for name, (leaf, line) in inner.items():
            if name not in known:
                raise ConfigError(f"{where}:{line}: unknown key {name}{nearest(name, [*known, *names])}")
            here = f"{where}:{line}"
            picked = _pick(leaf, profile, name, where) if profile else leaf
            yield name, _convert(picked, fields[name], name, here), here


def _missing(key: str, file: str) -> ConfigError:
    return ConfigError(f"configs/{file}: the key {key} is missing; every key must be written out")


@lru_cache(maxsize=32)
def _parse(text: str) -> yaml.Node | None:
    """Nodes, not values: they know their lines. Read-only, so seven stages can share one common.yaml."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _pairs(node: yaml.MappingNode, where: str) -> dict[str, tuple[yaml.Node, int]]:
    """Key → (value node, line of the key); ConfigError for a key that is there twice."""
    pairs: dict[str, tuple[yaml.Node, int]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}:{_line(key)}: a key must be a single word")
        if key.value in pairs:
            first = pairs[key.value][1]
            raise ConfigError(f"{where}:{_line(key)}: duplicate key {key.value} (first on line {first})")
        pairs[key.value] = value, _line(key)
    return pairs


def _pick(node: yaml.Node, profile: str, key: str, where: str) -> yaml.Node:
    """The node for `profile`: the node itself, or one side of `{lab: …, gpt2: …}`. Both sides must be
    there."""
    if not isinstance(node, yaml.MappingNode):
        return node
    sides = _pairs(node, where)
    for name, (_, line) in sides.items():
        if name not in PROFILES:
            raise ConfigError(
                f"{where}:{line}: {key} has a value for the unknown profile {name}"
                f"{nearest(name, PROFILES)}; the profiles are {', '.join(PROFILES)}"
            )
    for name in PROFILES:
        if name not in sides:
            raise ConfigError(f"{where}:{_line(node)}: {key} has no value for the profile {name}")
    return sides[profile][0]


def _convert(
    node: yaml.Node | None, field: tuple[Any, tuple], key: str, where: str, raw: str | None = None
) -> Any:
    """Node → typed value. The field's type reads the scalar's own text, so YAML 1.1's surprises (`1e-4` a
    string, `010` eight, `no` false) cannot happen."""
    plain, meta = field
    if get_origin(plain) is tuple:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise ConfigError(f"{where}: {key} must be a list like [a, b], not {_text(node, raw)}")
        inner = get_args(plain)[0]
        return tuple(_convert(item, (inner, meta), key, where) for item in node.value)
    null = isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null") and raw is None
    if not isinstance(node, yaml.ScalarNode) or null:
        raise ConfigError(f"{where}: {key} must be {_KIND[plain]}, not {_text(node, raw)}")
    value: Any = node.value
    if plain is not str:
        try:
            if node.style in ("'", '"'):
                raise ValueError
            value = _PARSE[plain](node.value)
            if plain is float and not math.isfinite(value):
                raise ValueError
        except (ValueError, KeyError):
            raise ConfigError(f"{where}: {key} must be {_KIND[plain]}, not {_text(node, raw)}") from None
    elif not value.strip():
        raise ConfigError(f"{where}: {key} must be {_KIND[plain]}, not empty")
    for check in meta:
        problem = check.problem(value) if isinstance(check, (Range, Choice)) else None
        if problem:
            raise ConfigError(f"{where}: {key} = {_show(value)}: {problem}")
    return value


_PARSE = {int: lambda text: int(text, 10), float: float, bool: {"true": True, "false": False}.__getitem__}
_KIND = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _compose(raw: str, plain: Any, where: str) -> yaml.Node | None:
    """The text right of `=` as a node; a text field takes it literally (paths may hold any character)."""
    if plain is str:
        return yaml.ScalarNode("tag:yaml.org,2002:str", raw)
    try:
        return yaml.compose(raw, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        raise ConfigError(f"{where}: {raw!r} is not a value") from None


def _split(text: str) -> tuple[str | None, str, str]:
    """`[NN:]key=value` → (NN or None, key, value)."""
    key, equals, raw = text.partition("=")
    only, colon, rest = key.partition(":")
    key = (rest if colon else key).strip()
    if not equals or not key or not raw.strip():
        raise ConfigError(f"{text!r}: an override is written key=value, like train.epochs=1")
    return (stage_number(only.strip()) if colon else None), key, raw.strip()


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(node: yaml.Node | None, raw: str | None) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.value.strip() else "empty"
    return repr(raw) if raw is not None else {yaml.SequenceNode: "a list"}.get(type(node), "a mapping")


def _syntax(err: yaml.YAMLError, where: str) -> str:
    mark = getattr(err, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    return f"{where}{line}: not valid YAML: {getattr(err, 'problem', None) or ' '.join(str(err).split())}"
