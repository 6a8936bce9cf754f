"""`Client`: a server of bundles, asked from Python."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Self
from urllib.parse import quote

import numpy.typing as npt

from tidewright.checks import check_text, check_whole
from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel, Roles
from tidewright.errors import ConfigError, RepairWarning, RequestError
from tidewright.inference.session import Prediction
from tidewright.serving.arrow import ARROW
from tidewright.serving.exchange import Exchange
from tidewright.serving.wire import read_forecast, read_infer_answer, write_infer, write_table


class Client:
    """A server at a URL. Any number of threads may share one: each keeps a connection of its own.

    `key` is sent in a header (default: TIDEWRIGHT_API_KEY of the environment; an empty one: none); `timeout_s` is for a
    whole call, with the waiting that a busy server asks for; `ca_file` holds the certificate that signs the server's.
    Every call raises `RequestError` with the server's sentence and status (0 where no answer came).
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 30.0, ca_file: str | Path | None = None
    ) -> None:
        self._exchange = Exchange(url, key=key, timeout_s=timeout_s, ca_file=ca_file)
        self._known: dict[tuple[str, str, int], list[float]] = {}  # levels, by model, version and how many are answered
        self.url = self._exchange.url

    def infer(
        self,
        x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
        /,
        *,
        model: str | None = None,
        version: str | int | None = None,
        split_key: str | None = None,
    ) -> Prediction:
        """The answer to windows, as `Session.predict` gives it. A model that is the only one need not be named. Where
        requests are split, those of one `split_key` get one version.
        """
        name = self._only() if model is None else _name("model", model)
        body, head = write_infer(x)
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(head)}
        headers |= _split(split_key)
        path = f"{_path(name, _version(version))}/infer"
        return self._infer(name, path, body=body, headers=headers)

    def forecast(
        self,
        table: Any,
        /,
        *,
        model: str | None = None,
        version: str | int | None = None,
        split_key: str | None = None,
    ) -> Forecast:
        """The forecast after each series' last value, from a table or a Panel of raw history; given back in kind.

        Where requests are split, each series gets its version, or all of them that of the `split_key`. What the server
        mended in the table is announced as `RepairWarning`.
        """
        panel = table if isinstance(table, Panel) else None
        body, native = write_table(panel.table if panel else table)
        given = {"model": None if model is None else _name("model", model), "version": _version(version)}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items() if value is not None)
        headers = {"Content-Type": ARROW, "Accept": ARROW, **_split(split_key)}
        answer = self._exchange.ask("POST", f"/v1/forecast?{query}", body=body, headers=headers)
        found, told = read_forecast(answer.body)
        for text in told["repairs"]:
            warnings.warn(text, RepairWarning, stacklevel=2)
        roles = Roles(told["time"], told["target"], told["series"])
        levels, classes = tuple(told["levels"]), tuple(told["classes"])
        return Forecast(found, roles, levels, panel.native if panel else native, classes)

    def health(self) -> dict[str, bool]:
        """Whether the server is live, and ready."""
        return {name: self._probe(f"/{name}") for name in ("healthz", "readyz")}

    def models(self) -> list[dict[str, str]]:
        """Every version of every model."""
        found: list[dict[str, str]] = self._json("GET", "/v2/models")
        return found

    def describe(self, model: str, *, version: str | int | None = None) -> dict[str, Any]:
        """A model's inputs, outputs, quantile levels and digest, as they are now."""
        found: dict[str, Any] = self._json("GET", _path(_name("model", model), _version(version)))
        return found

    def close(self) -> None:
        """Ends this thread's connection."""
        self._exchange.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def _infer(self, name: str, path: str, *, body: bytes, headers: dict[str, str], again: bool = True) -> Prediction:
        started = monotonic()
        answer = self._exchange.ask("POST", path, body=body, headers=headers)
        elapsed = (monotonic() - started) * 1e3
        values, who = read_infer_answer(answer.body, answer.headers.get("inference-header-content-length"))
        try:
            levels = self._levels(name, who, width=values.shape[-1])
        except RequestError as error:
            if error.status != 404 or not again:
                raise
            return self._infer(name, path, body=body, headers=headers, again=False)  # a promotion came between the two
        return Prediction(values, elapsed, self.url, levels.index(0.5) if levels else -1)

    def _levels(self, name: str, version: str, *, width: int) -> list[float]:
        """The quantile levels of the version that gave an answer of this width; none of classes."""
        place = name, version, width
        if place not in self._known:
            try:
                self._known[place] = self.describe(name, version=version)["parameters"]["quantiles"]
            except (KeyError, TypeError) as error:
                raise self._stranger(_path(name, version)) from error
        return self._known[place]

    def _only(self) -> str:
        try:
            names = sorted({one["name"] for one in self.models()})
        except (KeyError, TypeError) as error:
            raise self._stranger("/v2/models") from error
        if len(names) != 1:
            raise ConfigError(f"the server has {len(names)} models: {', '.join(names)}. Name one of them (model=).")
        return names[0]

    def _probe(self, path: str) -> bool:
        try:
            return self._exchange.ask("GET", path).status == 200
        except RequestError:
            return False

    def _json(self, method: str, path: str) -> Any:
        answer = self._exchange.ask(method, path)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise self._stranger(path) from error

    def _stranger(self, path: str) -> RequestError:
        text = f"{self.url}{path} does not answer as a server of Tidewright does. Is it one?"
        return RequestError(text, status=0)


def _name(what: str, given: str) -> str:
    """Raises `ConfigError` for what no path can name."""
    check_text(what, given)
    if not given:
        raise ConfigError(f"{what} is empty. Name one, or leave it out.")
    return given


def _split(key: str | None) -> dict[str, str]:
    """The header of a split's key. Raises `ConfigError` for what no header holds."""
    if key is None:
        return {}
    if not (
        isinstance(key, str) and key.isascii() and key.isprintable() and key == key.strip() and 0 < len(key) <= 256
    ):
        raise ConfigError(f"split_key is 1 to 256 printable ASCII letters; got {key!r}. Give a digest of it.")
    return {"X-Split-Key": key}


def _version(given: str | int | None) -> str | None:
    """A version, which may be given as its number."""
    if given is None or isinstance(given, str):
        return None if given is None else _name("version", given)
    check_whole("version", given)
    return str(given)


def _path(model: str, version: str | None) -> str:
    tail = "" if version is None else f"/versions/{quote(version, safe='')}"
    return f"/v2/models/{quote(model, safe='')}{tail}"
