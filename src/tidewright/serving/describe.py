"""The description (OpenAPI) of the paths that are answered before the control plane is asked."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tidewright.serving.arrow import ARROW
from tidewright.serving.forecasts import LINES
from tidewright.serving.tensors import DTYPES

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": ["number", "null"]}, "description": "Flat, row by row."}
SIZES: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 8}
PARAMETERS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": SIZES,
        "datatype": {"enum": list(DTYPES)},
        "parameters": PARAMETERS,
        "data": NUMBERS,
    },
}
OUTPUT: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "parameters": PARAMETERS},
}
ASK: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "maxLength": 256},
        "parameters": PARAMETERS,
        "inputs": {"type": "array", "minItems": 1, "items": TENSOR},
        "outputs": {"type": "array", "items": OUTPUT, "maxItems": 1},
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": TENSOR},
    },
}
CELL: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
COLUMNS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "array", "items": CELL}}
TABLE: dict[str, Any] = {
    "description": "Columns by name, or rows. Times are ISO 8601 or whole step numbers; null is a missing value.",
    "oneOf": [
        {**COLUMNS, "minProperties": 1},
        {"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": CELL}},
    ],
}
HISTORY: dict[str, Any] = {
    "type": "object",
    "required": ["table"],
    "additionalProperties": False,
    "properties": {"model": {"type": "string"}, "version": {"type": "string"}, "table": TABLE},
}
FORECAST: dict[str, Any] = {
    "type": "object",
    "required": ["model", "version", "digest", "levels", "time", "target", "repairs", "table"],
    "properties": {
        **{name: {"type": "string"} for name in ("model", "version", "digest", "time", "target")},
        "series": {"type": ["string", "null"]},
        "levels": {"type": "array", "items": {"type": "number"}},
        "classes": {"type": "array"},
        "repairs": {"type": "array", "items": {"type": "string"}},
        "arms": {
            "type": "object",
            "description": "Of a model that is split: the series that each version answered for.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "table": COLUMNS,
    },
}
REFUSALS = {
    400: "The request can't be answered; the sentence names the field.",
    401: "The key is missing or unknown.",
    403: "A page of another origin asked.",
    404: "There is no such model or version.",
    406: "None of the forms that are written is accepted.",
    408: "The request did not come in time.",
    413: "The body is too long.",
    415: "The body is compressed or written in a way that is not read here.",
    429: "Too many wait; Retry-After says when to try again.",
    504: "The answer took too long.",
}


def add_raw_paths(app: FastAPI) -> None:
    """Adds to the app's description what it does not answer itself."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = described()
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas |= {"Error": ERROR, "InferRequest": ASK, "InferResponse": ANSWER}
            schemas |= {"ForecastRequest": HISTORY, "ForecastResponse": FORECAST}
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # such a request gets 400
                    _add_refusals(operation, 400, 401, 403)
            schema["paths"] |= raw_paths()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend a description


def raw_paths() -> dict[str, Any]:
    """The paths of inferences and forecasts."""
    return {
        "/v2/models/{name}/infer": {"post": _infer("infer", "name")},
        "/v2/models/{name}/versions/{version}/infer": {"post": _infer("infer_version", "name", "version")},
        "/v1/forecast": {"post": _forecast()},
    }


KEY: dict[str, Any] = {
    "name": "X-Split-Key",
    "in": "header",
    "required": False,
    "description": "Where requests are split, those of one key get one version, which X-Model-Version says.",
    "schema": {"type": "string", "maxLength": 256},
}


def _infer(operation: str, *names: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation,
        "summary": "Answers windows of values",
        "description": "The Open Inference Protocol v2: tensors as JSON, or as bytes after it (the binary extension).",
        "tags": ["inference"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
        + ([] if "version" in names else [KEY]),
        "requestBody": {"required": True, "content": _json("InferRequest")},
        "responses": {"200": {"description": "The answer.", "content": _json("InferResponse")}},
    }
    _add_refusals(described, *REFUSALS)
    return described


def _forecast() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ForecastResponse"}
    forms = {"application/json": {"schema": schema}, LINES: {}, ARROW: {}}
    described: dict[str, Any] = {
        "operationId": "forecast",
        "summary": "Forecasts from raw history",
        "description": "A table of history in, quantiles with series and times out. Of an Arrow stream the model "
        "and its version stand in the query. Accept says in which form the answer comes; it comes in parts.",
        "tags": ["inference"],
        "parameters": [KEY],
        "requestBody": {"required": True, "content": {**_json("ForecastRequest"), ARROW: {}}},
        "responses": {"200": {"description": "The forecast.", "content": forms}},
    }
    _add_refusals(described, *REFUSALS)
    return described


def _add_refusals(operation: dict[str, Any], *statuses: int) -> None:
    for status in statuses:
        told = {"description": REFUSALS[status], "content": _json("Error")}
        operation["responses"].setdefault(str(status), told)


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
