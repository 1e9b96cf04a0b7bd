"""Reading a policy from YAML, so that every complaint names the file and the line."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tasks.common.criteria_forms import Criteria, PopulationFile
from tasks.common.errors import InputError, PolicyError, SecuredError
from tasks.common.hierarchy_forms import HierarchyFile
from tasks.common.policy import Policy
from tasks.common.values import Value

Path_ = tuple[str | int, ...]
Form = TypeVar("Form", bound=Value)


@dataclass(frozen=True)
class Words:
    """How complaints call a form, where its keys are told, what to do where there is no file, and what is raised."""

    form: str = "policy"
    schema: str = "`secured policy schema`"
    missing: str = "`secured policy draft TABLE` writes a first one"
    error: type[SecuredError] = PolicyError


_POLICY = Words()


class _Loader(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans: `no` is a clinic's answer, not False."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def read(path: Path | str) -> Policy:
    """Read and check a policy; paths in it become absolute.

    Raises:
        InputError: the file is missing or not text.
        PolicyError: the YAML is broken, or says something impossible; the message names the line.
    """
    path = Path(path)
    return _absolute(read_as(Policy, path), path.absolute().parent)


def read_as(form: type[Form], path: Path, words: Words = _POLICY) -> Form:
    """Read YAML of any form that policies are written in; see `read`. Paths stay as they are written."""
    text = _text(path, words)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise words.error(f"{path}, line {line}: this is not YAML: {error.problem}") from error
    lines: dict[Path_, int] = {}
    _note_lines(node, (), lines, path, words)
    document = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    if not isinstance(document, dict):
        first = " and ".join(f"`{name}:`" for name, field in form.model_fields.items() if field.is_required())
        raise words.error(f"{path}: a {words.form} is a mapping with {first}; see {words.schema}")
    try:
        return form.model_validate(document)
    except ValidationError as error:
        raise words.error(_complaints(error, lines, path, form, words)) from error


def schema() -> str:
    """The JSON Schema of a policy, for editors that complete and check YAML."""
    return json.dumps(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()}, indent=2
    )


def _text(path: Path, words: Words) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no {words.form} at {path}; {words.missing}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unreadable" if isinstance(error, OSError) else f"byte {error.start} is none"


def _note_lines(node: yaml.Node | None, at: Path_, lines: dict[Path_, int], path: Path, words: Words) -> None:
    """Remember the line of every key and item; refuse a key that stands twice."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*at, str(key.value))
            if place in lines:
                raise words.error(f"{path}, line {key.start_mark.line + 1}: `{key.value}` stands here a second time")
            lines[place] = key.start_mark.line + 1
            _note_lines(value, place, lines, path, words)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            _note_lines(value, (*at, index), lines, path, words)


def _complaints(error: ValidationError, lines: dict[Path_, int], path: Path, form: type[Value], words: Words) -> str:
    told = []
    for problem in error.errors(include_url=False):
        place = tuple(part for part in problem["loc"] if part != "[key]")
        line = _line(place or _named_place(problem["msg"]), lines)
        told.append(f"{path}, line {line}: {_sentence(place, problem, lines, form, words)}")
    return "\n".join(dict.fromkeys(told))


def _named_place(message: str) -> Path_:
    """Where a complaint about the policy as a whole says that it is: `criteria.t names ...`."""
    found = re.search(r"([\w.]+) names `([^`]+)`", message)
    return (*found[1].split("."), found[2]) if found else ()


def _line(place: Path_, lines: dict[Path_, int]) -> int:
    place = _written(place, lines)
    return lines.get(place, 1)


def _written(place: Path_, lines: dict[Path_, int]) -> Path_:
    """The part of pydantic's location that stands in the file (it also names union members)."""
    kept: Path_ = ()
    for part in place:
        if (*kept, part) in lines:
            kept = (*kept, part)
    return kept


def _sentence(place: Path_, problem: Any, lines: dict[Path_, int], form: type[Value], words: Words) -> str:
    where = ".".join(str(part) for part in _written(place, lines)) or words.form
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{place[-1]}`{_did_you_mean(str(place[-1]), form, words)}"
    if problem["type"] == "missing":
        return f"{where}: `{place[-1]}:` is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def _did_you_mean(key: str, form: type[Value], words: Words) -> str:
    names: set[str] = set()
    _collect_properties(form.model_json_schema(), names)
    close = difflib.get_close_matches(key, sorted(names), n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; see {words.schema} for the known ones"


def _collect_properties(schema: Any, names: set[str]) -> None:
    if isinstance(schema, dict):
        names.update(schema.get("properties", {}))
        for value in schema.values():
            _collect_properties(value, names)
    elif isinstance(schema, list):
        for value in schema:
            _collect_properties(value, names)


def _absolute(policy: Policy, folder: Path) -> Policy:
    """The same policy with the paths in it made absolute from the policy's folder."""
    columns = {
        name: column.model_copy(update={"hierarchy": _found(column.hierarchy, folder, f"column `{name}`")})
        if isinstance(column.hierarchy, HierarchyFile)
        else column
        for name, column in policy.columns.items()
    }
    table = (folder / policy.table).resolve() if policy.table else None
    criteria = _criteria(policy.criteria, folder)
    return policy.model_copy(update={"columns": columns, "table": table, "criteria": criteria})


def _criteria(criteria: Criteria, folder: Path) -> Criteria:
    closeness = {
        name: wanted.model_copy(update={"hierarchy": _found(wanted.hierarchy, folder, f"criteria.t.{name}")})
        if isinstance(wanted.hierarchy, HierarchyFile)
        else wanted
        for name, wanted in criteria.t.items()
    }
    counted = {}
    for key in ("presence", "k_map", "risk"):
        wanted = getattr(criteria, key)
        if wanted is not None and wanted.population is not None:
            counted[key] = wanted.model_copy(update={"population": _population(wanted.population, folder, key)})
    return criteria.model_copy(update={"t": closeness, **counted})


def _found(hierarchy: HierarchyFile, folder: Path, place: str) -> HierarchyFile:
    file = (folder / hierarchy.csv).resolve()
    return HierarchyFile(csv=file, sha256=_sha256(file, f"{place}: its hierarchy"))


def _population(population: PopulationFile, folder: Path, key: str) -> PopulationFile:
    file = (folder / population.path).resolve()
    return population.model_copy(update={"path": file, "sha256": _sha256(file, f"criteria.{key}: the population")})


def _sha256(file: Path, what: str) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{what} {file} cannot be read ({error.strerror})") from error
