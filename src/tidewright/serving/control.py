"""The control plane: what is served, whether it is well, its figures, and its description (FastAPI)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version as version_of
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from tidewright.errors import RequestError, TidewrightError
from tidewright.inference.metrics_text import write_text
from tidewright.serving.depth import parse_json
from tidewright.serving.describe import add_raw_paths
from tidewright.serving.desk import Desk
from tidewright.serving.http import ClientGoneError, read_body, to_refusal
from tidewright.serving.metrics import KINDS

VERSION = version_of("tidewright")
EXTENSIONS = ["binary_tensor_data", "model_repository"]
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


Load = Callable[[], Awaitable[tuple[str, ...]]]  # looks at the folders again; gives those that can't be opened


def make_control(desk: Desk, load: Load) -> FastAPI:
    """The control plane of a desk."""
    app = FastAPI(title="Tidewright", version=VERSION, description="Forecasts from sealed bundles.")
    _add_health(app, desk)
    _add_models(app, desk)
    _add_load(app, desk, load)
    _add_errors(app)
    add_raw_paths(app)
    return app


def _add_health(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz", tags=["health"])
    @app.get("/v2/health/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @app.get("/readyz", tags=["health"], responses=_errors(503))
    @app.get("/v2/health/ready", tags=["health"], responses=_errors(503))
    async def ready() -> dict[str, bool]:
        """Models are loaded, and the server does not stop."""
        if not desk.ready:
            raise RequestError("the server is not ready.", status=503)
        return {"ready": True}

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counts and times as Prometheus reads them."""
        return PlainTextResponse(write_text(desk.all_samples(), KINDS), media_type=PROMETHEUS)


def _add_models(app: FastAPI, desk: Desk) -> None:
    @app.get("/v2", tags=["models"])
    async def server() -> dict[str, Any]:
        """The server's name, version and extensions of the protocol."""
        return {"name": "tidewright", "version": VERSION, "extensions": EXTENSIONS}

    @app.get("/v2/models", tags=["models"])
    @app.post("/v2/repository/index", tags=["models"])
    async def index() -> list[dict[str, str]]:
        """Every version of every model."""
        return [{"name": one.name, "version": one.version, "state": "READY", "reason": ""} for one in desk.roster.all]

    @app.get("/v2/models/{name}", tags=["models"], responses=_errors(404))
    async def model(name: str) -> dict[str, Any]:
        """A model's inputs and outputs."""
        return _describe(desk, name, None)

    @app.get("/v2/models/{name}/versions/{version}", tags=["models"], responses=_errors(404))
    async def model_version(name: str, version: str) -> dict[str, Any]:
        """The inputs and outputs of a version of a model."""
        return _describe(desk, name, version)

    @app.get("/v2/models/{name}/ready", tags=["models"], responses=_errors(404))
    async def model_ready(name: str) -> dict[str, Any]:
        """Whether a model answers."""
        return {"name": desk.roster.find(name).name, "ready": True}

    @app.get("/v2/models/{name}/versions/{version}/ready", tags=["models"], responses=_errors(404))
    async def version_ready(name: str, version: str) -> dict[str, Any]:
        """Whether a version of a model answers."""
        return {"name": desk.roster.find(name, version).name, "ready": True}


def _add_load(app: FastAPI, desk: Desk, load: Load) -> None:
    @app.post("/v2/repository/models/{name}/load", tags=["models"], responses=_errors(404, 413, 503))
    async def load_model(name: str, request: Request) -> dict[str, list[dict[str, str]]]:
        """Looks at the folders again and loads what has changed; what is in flight ends with what it began with."""
        limits = desk.options.limits
        body = await read_body(request.receive, dict(request.headers.raw), limits)
        if body.strip() and (given := parse_json(body, depth=limits.depth)) not in ({}, {"parameters": {}}):
            what = next(iter(given)) if isinstance(given, dict) else "the body"
            raise RequestError(f"'{str(what)[:80]}' is not taken: bundles come from the server's own folders.")
        failed = await load()
        if failed:
            raise RequestError(f"{len(failed)} bundles could not be loaded; the server's log says why.", status=503)
        desk.roster.find(name)
        return {"loaded": [one.labels for one in desk.roster.models[name].values()]}


def _describe(desk: Desk, name: str, version: str | None) -> dict[str, Any]:
    roster = desk.roster
    told = roster.find(name, version).describe(list(roster.models[name]))
    lineup = roster.lineups.get(name)
    if lineup is not None:
        told["parameters"]["lineup"] = lineup.describe()
    return told


def _add_errors(app: FastAPI) -> None:
    """Every refusal has the protocol's form."""

    @app.exception_handler(TidewrightError)
    async def refuse(_: Request, error: TidewrightError) -> JSONResponse:
        refusal = to_refusal(error)
        return JSONResponse({"error": str(refusal)}, status_code=refusal.status)

    @app.exception_handler(ClientGoneError)
    async def leave(_: Request, __: ClientGoneError) -> Response:
        return Response(status_code=400)  # nobody reads it

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> JSONResponse:
        what = {404: "there is no such path", 405: f"{request.method} is not answered here"}
        text = f"{what.get(error.status_code, str(error.detail))}. See /docs for those that there are."
        return JSONResponse({"error": text}, status_code=error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def refuse_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"'{where}': {first['msg']}."}, status_code=400)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    shape = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": "The reason, in a sentence.", "content": shape} for status in statuses}
