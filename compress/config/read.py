"""Reading configurations: files, `--set`, and every fault at once in one message."""

from __future__ import annotations

import re
import reprlib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from compress.config.blocks import block_names, double_blocks, ratio_names, top_level
from compress.config.learning import Network
from compress.config.pruning import Ratios
from compress.config.schema import Config
from compress.errors import ConfigError, PlanError
from compress.files import write_text
from compress.outside import is_there, read_bytes
from compress.registry import nearest

MAX_YAML = 2**17
"""Bytes of a configuration: what `init` writes has a tenth, and a megabyte would be read for half a minute."""
_MOST_KEYS = 1000
"""Of one mapping; the largest section has some twenty."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MOST_DIGITS = 40
"""As JSON documents have at most."""
_MOST_FAULTS = 20
"""That one message tells."""
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)
"""What reading YAML can raise: impossible dates and endless numbers are no YAMLError."""


def load_config(path: Path | None, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> Config:
    """The configuration in `path` (None: all defaults) with `key.path=value` overrides on top.

    options: key path -> value, on top of all. Raises `ConfigError` listing every unknown key, wrong type and unknown
    block name.
    """
    document = {} if path is None else read_yaml(path)
    for override in overrides:
        _apply(document, override)
    for key, value in (options or {}).items():
        _put(document, key, value, said=key)
    return validate(document, source=str(path or "the defaults"))


def load_whole(path: Path) -> Config:
    """A configuration that `save_config` wrote. Raises `ConfigError` also where a section is missing: it was cut."""
    document = read_yaml(path, named=False)
    if missing := sorted(Config.model_fields.keys() - document.keys()):
        raise ConfigError(f"{path} has no section {missing[0]}.")
    return validate(document, source=str(path))


def from_document(document: dict[str, Any], overrides: Sequence[str] = (), *, source: str = "the defaults") -> Config:
    """As `load_config`, from plain data, which the overrides are written into."""
    for override in overrides:
        _apply(document, override)
    return validate(document, source=source)


def validate(document: Mapping[str, Any], *, source: str) -> Config:
    """A `Config` from plain data; see `load_config` for the errors."""
    try:
        config = Config.model_validate(document)
    except ValidationError as fault:
        raise ConfigError(_bundle(source, _lines(fault, Config) + _unknown_blocks(document))) from None
    faults = _unknown_blocks(document)
    if faults:
        raise ConfigError(_bundle(source, faults))
    return config


def load_ratios(path: Path, *, levels: int) -> Ratios:
    """A `ratios.yaml`: `default` and `block_ratios` (or the block names directly at the top level).

    Raises `PlanError` for an unknown block, a ratio outside [0, 1) or a file of another shape.
    """
    document = _nested(read_yaml(path), ratio_names(levels))
    unknown = _block_faults(document, levels=levels, at="")
    try:
        ratios = Ratios.model_validate(document)
    except ValidationError as fault:
        raise PlanError(_bundle(str(path), _lines(fault, Ratios) + unknown)) from None
    if unknown:
        raise PlanError(_bundle(str(path), unknown))
    return ratios


def _nested(document: dict[str, Any], blocks: Sequence[str]) -> dict[str, Any]:
    """Block names (also misspelt ones) at the top level moved into `block_ratios`."""
    known = [*blocks, *Ratios.model_fields]
    flat = {k: v for k, v in document.items() if k not in Ratios.model_fields and nearest(k, known) in blocks}
    inner = document.get("block_ratios") or {}
    if not flat or not isinstance(inner, dict):
        return document
    rest = {k: v for k, v in document.items() if k not in flat}
    return {**rest, "block_ratios": {**inner, **flat}}


def _unknown_blocks(document: Mapping[str, Any]) -> list[str]:
    """Unknown block names in a whole configuration, which may have other faults."""
    features = _dig(document, "train", "model", "features")
    levels = len(features if isinstance(features, list) else Network().features)
    faults = _block_faults(_dig(document, "pruning", "ratios"), levels=levels, at="pruning.ratios.")
    sets = _dig(document, "sweep", "ratio_sets")
    for index, chosen in enumerate(sets if isinstance(sets, list) else []):
        faults += _block_faults(_dig(chosen, "ratios"), levels=levels, at=f"sweep.ratio_sets.{index}.ratios.")
    return faults


def _block_faults(ratios: Any, *, levels: int, at: str) -> list[str]:
    """One line per name in `block_ratios` that a U-Net with `levels` encoders does not have."""
    known, named = ratio_names(levels), _dig(ratios, "block_ratios")
    names = [n for n in named if isinstance(n, str)] if isinstance(named, Mapping) else []
    unknown = [n for n in names if n not in known]
    faults = [f"{at}block_ratios.{name:.80}: unknown block.{_block_hint(name, levels)}" for name in unknown]
    return faults + _depth_faults(ratios, names, levels=levels, at=at)


def _depth_faults(ratios: Any, named: Sequence[str], *, levels: int, at: str) -> list[str]:
    """One line per name of a part that is not there to be pruned or made single."""
    listed, doubles = _dig(ratios, "single"), double_blocks(levels)
    single = [n for n in listed if isinstance(n, str)] if isinstance(listed, list | tuple) else []
    top = top_level(levels) if _dig(ratios, "space_to_depth") is True else ()
    wrong = [n for n in single if n not in doubles]
    faults = [f"{at}single: {name} is no double convolution.{_hint(name, doubles)}" for name in wrong]
    faults += [f"{at}single: {name} is gone with space_to_depth" for name in single if name in top]
    for name in named:
        if name in top or name.rpartition(".")[0] in top:
            faults.append(f"{at}block_ratios.{name}: gone with space_to_depth")
        elif name in [f"{block}.conv1" for block in single]:
            faults.append(f"{at}block_ratios.{name}: gone, its block is in single")
    return faults


def _dig(value: Any, *keys: str) -> Any:
    """The value under nested keys of plain data; None when there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def read_yaml(
    path: Path, *, named: bool = True, what: str = "the configuration", cure: str = "`cardiocompress init` writes one."
) -> dict[str, Any]:
    """A YAML mapping; `ConfigError` for a missing file, broken YAML or another shape.

    what: how a message calls it. cure: what is said of a missing file.
    """
    if not is_there(Path(path)):
        raise ConfigError(f"No such file: {path}.", cure=cure)
    try:
        document = parse_yaml(read_bytes(Path(path), most=MAX_YAML, what=what, named=named, fault=ConfigError))
    except ConfigError:
        raise
    except UNREADABLE as fault:
        reason = " ".join(str(fault).split())[:300]
        raise ConfigError(f"{path} cannot be read as YAML: {reason or type(fault).__name__}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path} holds a {type(document).__name__}; a mapping of sections is needed.")
    return document


class _Loader(yaml.SafeLoader):
    """YAML without what makes it more than it looks.

    That is aliases, which multiply, a key twice, of which one is lost, and numbers in sixties, which never end.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases (*{self.peek_event().anchor[:40]}) are not allowed")
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
            raise yaml.YAMLError(f"a number has {len(node.value)} digits, {_MOST_DIGITS} at most")
        return super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        if len(node.value) > _MOST_KEYS:
            raise yaml.YAMLError(f"a mapping has {len(node.value)} keys, {_MOST_KEYS} at most")
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"'{key.value[:40]}' stands there twice, in line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str | bytes) -> Any:
    """What a YAML text says: plain values, no alias and no key twice. Raises what `UNREADABLE` lists."""
    return yaml.load(text, _Loader)


def save_config(config: Config, path: Path) -> Path:
    """Write the resolved configuration as YAML; reading it back gives an equal `Config`."""
    return write_text(path, yaml.safe_dump(config.to_json(), sort_keys=False))


def _apply(document: dict[str, Any], override: str) -> None:
    """Put one "a.b.c=value" into `document`; the value is YAML."""
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {override!r} is not of the form key.path=value.")
    try:
        value = parse_yaml(text)
    except UNREADABLE:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML.") from None
    _put(document, key.strip(), value, said=f"--set {override!r}")


def _put(document: dict[str, Any], key: str, value: Any, *, said: str) -> None:
    """Put a value under "a.b.c"; `said` is what an error calls the request."""
    parts, node = _split_key(key), document
    for part in parts[:-1]:
        child = node.get(part)
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{said}: '{part}' is a single value, not a section.")
        node = child
    node[parts[-1]] = value


def _split_key(key: str) -> list[str]:
    """Dots separate, but a block name such as encoders.0 keeps its own dot."""
    head, mark, block = key.partition("block_ratios.")
    return [*head.rstrip(".").split("."), "block_ratios", block] if mark else key.split(".")


def _lines(fault: ValidationError, model: type[BaseModel]) -> list[str]:
    return [line for error in fault.errors() for line in _line(error, model)]


def _line(error: Any, model: type[BaseModel]) -> list[str]:
    """One line per fault; several where values do not fit together (`Config._fits_together`)."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return [f"{path}: unknown key.{_hint(str(error['loc'][-1]), _fields_at(model, error['loc'][:-1]))}"]
    if error["type"] == "missing":
        return [f"{path}: this key is required."]
    if error["type"] == "value_error":
        return [f"{text}." for text in error["ctx"]["error"].args]
    message, hint = error["msg"], ""
    if error["type"] == "literal_error":
        close = nearest(str(error["input"]), re.findall(r"'([^']+)'", error["ctx"]["expected"]))
        hint = f" Did you mean '{close}'?" if close else ""
    return [f"{path}: {message[0].lower()}{message[1:]}, got {reprlib.repr(error['input'])}.{hint}"]


def _fields_at(model: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    for part in (p for p in loc if not isinstance(p, int)):
        if part not in model.model_fields:
            return []
        found = _section(model.model_fields[part].annotation)
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section class inside an annotation such as `list[RatioSet]`, if any."""
    candidates = [annotation, *typing.get_args(annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _hint(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    return f" Did you mean '{close}'?" if close else f" Known: {', '.join(known)}."


def _block_hint(name: str, levels: int) -> str:
    """A block of a deeper network is no typing mistake: then the hint is the depth."""
    if name in ratio_names(10):
        return f" This network has {levels} encoders, its blocks are {', '.join(block_names(levels))}."
    return _hint(name, ratio_names(levels))


def _bundle(source: str, faults: Sequence[str]) -> str:
    if len(faults) == 1:
        return f"{source}: {faults[0]}"
    rest = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
    return f"{source} has {len(faults)} faults: " + " | ".join([*faults[:_MOST_FAULTS], *rest])
