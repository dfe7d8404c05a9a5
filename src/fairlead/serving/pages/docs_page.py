"""The readable page of the API, made from the OpenAPI document and from nothing else.

Whatever the document does not say, the page does not say either; so the two cannot differ.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["CodeSample", "FieldLine", "Refusal", "Section", "docs_values"]


class FieldLine(msgspec.Struct, frozen=True):
    """One property: its name, its type in words, whether it may be null, what it means."""

    name: str
    type: str
    nullable: bool
    about: str


class CodeSample(msgspec.Struct, frozen=True):
    """A way to call an operation: who speaks, and the text to copy."""

    key: str
    title: str
    code: str


class Refusal(msgspec.Struct, frozen=True):
    """A status that is no answer: its codes and what they mean."""

    status: str
    codes: tuple[str, ...]
    about: str


class Section(msgspec.Struct, frozen=True):
    """One endpoint of the page."""

    name: str
    path: str
    summary: str
    about: str
    takes: tuple[FieldLine, ...]
    gives: tuple[FieldLine, ...]
    samples: tuple[CodeSample, ...]
    row: str
    answer: str
    max_rows: int


def docs_values(document: Mapping[str, Any], base: str) -> dict[str, object]:
    """What the page shows.

    Args:
        document: The OpenAPI document.
        base: Where this service is reached, "http://127.0.0.1:8080".
    """
    paths = document["paths"]
    sections = tuple(_section(document, path, base) for path in paths if path.startswith("/predict/"))
    return {"sections": sections, "refusals": _refusals(document), "base": base}


def _section(document: Mapping[str, Any], path: str, base: str) -> Section:
    operation = document["paths"][path]["post"]
    name = path.rsplit("/", 1)[1]
    schemas = document["components"]["schemas"]
    row = _example(operation["requestBody"]["content"]["application/json"])
    answer = _example(operation["responses"]["200"]["content"]["application/json"])
    return Section(
        name=name,
        path=path,
        summary=operation["summary"],
        about=operation["description"],
        takes=_lines(schemas[f"{name}.Row"]),
        gives=_lines(schemas[f"{name}.Answer"]),
        samples=_samples(name, base + path, base, row) if row else (),
        row=json.dumps(row, indent=2, ensure_ascii=False) if row else "",
        answer=json.dumps(answer, indent=2, ensure_ascii=False) if answer else "",
        max_rows=operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"][1]["maxItems"],
    )


def _example(content: Mapping[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = content.get("examples", {}).get("one", {}).get("value")
    return found


def _lines(schema: Mapping[str, Any]) -> tuple[FieldLine, ...]:
    lines = []
    for name, told in schema["properties"].items():
        kinds = told.get("type", "label")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        about = told.get("description", "")
        if "enum" in told and name == "prediction":
            about += " One of " + ", ".join(json.dumps(label) for label in told["enum"][:20]) + "."
        lines.append(FieldLine(name, next(kind for kind in kinds if kind != "null"), "null" in kinds, about))
    return tuple(lines)


def _samples(name: str, url: str, base: str, row: Mapping[str, Any]) -> tuple[CodeSample, ...]:
    text = json.dumps(row, ensure_ascii=False)
    shown = json.dumps(row, indent=2, ensure_ascii=False)
    literal = _python_literal(row)
    return (
        CodeSample(
            "curl",
            "curl",
            f"curl {shlex.quote(url)} \\\n  --header 'Content-Type: application/json' \\\n  --data {shlex.quote(text)}",
        ),
        CodeSample(
            "python",
            "Python, with Fairlead",
            f"import fairlead\n\nrow = {literal}\n\nclient = fairlead.Client({base!r})\nprint(client.predict({name!r}, row))",
        ),
        CodeSample(
            "requests",
            "Python, with requests",
            f"import requests\n\nrow = {literal}\n\nreply = requests.post({url!r}, json=row, timeout=10)\n"
            "reply.raise_for_status()\nprint(reply.json())",
        ),
        CodeSample(
            "javascript",
            "JavaScript",
            f'const row = {shown};\n\nconst reply = await fetch({json.dumps(url)}, {{\n  method: "POST",\n'
            '  headers: { "Content-Type": "application/json" },\n  body: JSON.stringify(row),\n});\n'
            "if (!reply.ok) throw new Error((await reply.json()).detail);\nconsole.log(await reply.json());",
        ),
    )


def _python_literal(row: Mapping[str, Any]) -> str:
    return "{\n" + "".join(f"    {name!r}: {value!r},\n" for name, value in row.items()) + "}"


def _refusals(document: Mapping[str, Any]) -> tuple[Refusal, ...]:
    found = []
    for name, response in document["components"]["responses"].items():
        content = next(iter(response["content"].values()))
        codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
        found.append(Refusal(name.removeprefix("Refused"), tuple(codes), response["description"]))
    return tuple(found)
