"""`SessionOptions`: where and with what an answer is computed; who computes it is the backend."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from tidewright.checks import check_flag, check_whole
from tidewright.errors import ConfigError
from tidewright.runtime import Device

Optimisation = Literal["none", "basic", "extended", "all"]
Word = Literal["auto", "float32", "bfloat16", "float16", "int8", "int8-static"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """`device` auto is the processor, and a GPU beside it where there is one: the faster of both is taken. `threads` is
    for one answer. `arena` and `optimisation` are ONNX Runtime's: memory that it keeps between answers, and how far it
    rewrites the graph. `precision` auto is what the bundle is. Raises `ConfigError`.

    >>> SessionOptions(optimisation="most")
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: optimisation is none, basic, extended or all; got 'most'.
    """

    device: Device = "auto"
    threads: int = 1
    arena: bool = True
    optimisation: Optimisation = "all"
    precision: Word = "auto"

    def __post_init__(self) -> None:
        for name, words in (("device", Device), ("optimisation", Optimisation), ("precision", Word)):
            known, given = get_args(words), getattr(self, name)
            if given not in known:
                raise ConfigError(f"{name} is {', '.join(known[:-1])} or {known[-1]}; got {given!r}.")
        check_whole("threads", self.threads)
        check_flag("arena", self.arena)

    def on(self, device: str) -> SessionOptions:
        """The same on one device."""
        return replace(self, device=device)  # type: ignore[arg-type]  # a word of Device

    def to_dict(self) -> dict[str, Any]:
        """The options as plain data; a precision only where one was asked for."""
        told = asdict(self)
        return {name: value for name, value in told.items() if name != "precision" or value != "auto"}
