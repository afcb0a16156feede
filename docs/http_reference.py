"""An OpenAPI document -> the reference page of the service. Knows nothing of files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bestiary

NOTE = "<!-- written by docs/write_reference.py -->"


def http_page(document: dict[str, Any]) -> str:
    """Compose the page of the service from its OpenAPI document."""
    parts = [
        "# HTTP",
        NOTE,
        "`bestiary serve RUN` answers under these paths. `GET /openapi.json` is the same for "
        f"programs, version {document['info']['version']}. With a token, requests need "
        "`Authorization: Bearer TOKEN`. How to let others in, limits and proxies: "
        "[serve](../how-to/serve.md). `/v2/` speaks the Open "
        "Inference Protocol: [export](../how-to/export.md#triton-kserve).",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += list(operation_parts(path, method, operation))
    parts.append("## Answers in JSON")
    for name, schema in sorted(document["components"]["schemas"].items()):
        if schema.get("properties"):
            parts += [f"### {name}", as_line(schema.get("description", "")), fields(schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def operation_parts(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs of one operation."""
    yield f"## {method.upper()} {path}"
    yield as_line(operation.get("description", ""))
    parameters = [
        f"- **`?{one['name']}=`**: {as_line(one.get('description', 'see bestiary predict'))}"
        for one in operation.get("parameters", [])
        if one["in"] == "query"
    ]
    yield "\n".join(parameters)
    if body := operation.get("requestBody"):
        yield f"Body: {', '.join(f'`{kind}`' for kind in body['content'])}."
    rows = ["| status | what |", "|---|---|"]
    for status, answer in operation["responses"].items():
        schema = next(iter(answer.get("content", {}).values()), {}).get("schema", {})
        named = schema.get("$ref", "").rpartition("/")[2]
        text = as_line(answer.get("description", "")).rstrip(".")
        rows.append(f"| {status} | {text}{f': `{named}`' if named else ''} |")
    yield "\n".join(rows)


def fields(schema: dict[str, Any]) -> str:
    """List the fields of a schema."""
    required = set(schema.get("required", []))
    lines = []
    for name, field in schema["properties"].items():
        line = f"- **`{name}`**{' (always there)' if name in required else ''}: {kind_of(field)}"
        if field.get("description"):
            line += f". {as_line(field['description'])}"
        lines.append(line)
    return "\n".join(lines)


def kind_of(field: dict[str, Any]) -> str:
    """Name the JSON type of a field."""
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "anyOf" in field:
        return " or ".join(kind_of(one) for one in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {kind_of(field.get('items', {}))}"
    return str(field.get("type", "any"))


def as_line(text: str) -> str:
    """Join the first paragraph of a text into a line."""
    return " ".join(text.partition("\n\n")[0].split())


def openapi_of_small_run(folder: Path) -> dict[str, Any]:
    """Train a tiny run, and return the OpenAPI document of its service."""
    from bestiary.serving.application import build_application

    bestiary.sample(folder / "images", species=2, per_species=6, size=32, quiet=True)
    small = ["model.backbone=timm/test_resnet", "model.weights=none", "model.head=random"]
    small += ["model.freeze=0", "view.size=32", "train.epochs=1", "train.precision=float32"]
    bestiary.train(
        folder / "images", folder / "run", recipe="fast", overrides=small, folds=2, quiet=True
    )
    document: dict[str, Any] = build_application(bestiary.load(folder / "run")).openapi()
    return document
