"""What a function's code tells before anything is compiled: parameters, what it reads, what it may do."""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np

MISSING = object()
NO_CALL = (MISSING,)  # arguments that Python refuses
_CONSTANT_MODULES = ("numpy", "math", "cmath", "operator", "numba")  # what these hold is the same for good
_PLAIN = (bool, int, float, complex, str, type(None), np.generic)
_DOING = frozenset(("print", "input", "open", "exec", "eval", "objmode"))
# they give a changeable array of the same memory, which a compiled form could write into
_WAYS_ROUND = frozenset(("flat", "nditer", "ascontiguousarray", "asfortranarray", "fill_diagonal", "ctypes", "carray"))


class Outside(NamedTuple):
    """A value from outside that compiled code holds on to: where it is read, under which name, and what it was."""

    home: Any
    name: str
    value: Any

    def changed(self) -> bool:
        """Whether the name stands for something else now."""
        if isinstance(self.home, FunctionType):
            return dict(_read_cells(self.home)).get(self.name, MISSING) is not self.value
        return self.home.get(self.name, MISSING) is not self.value


class Parameters(NamedTuple):
    """Names in their order, how many of them may be given by place, which of them have no name, and defaults."""

    names: tuple[str, ...]
    by_place: int
    nameless: int
    defaults: tuple[Any, ...]  # MISSING where there is none

    def fill(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Every argument in its place; `NO_CALL` where Python would refuse the call."""
        given = len(args)
        if given > self.by_place:
            return NO_CALL
        row = [*args, *self.defaults[given:]]
        for name, value in kwargs.items():
            place = self.names.index(name) if name in self.names else -1
            if place < max(given, self.nameless):
                return NO_CALL
            row[place] = value
        return NO_CALL if any(value is MISSING for value in row) else tuple(row)


def read_parameters(function: FunctionType) -> Parameters:
    """The parameters of a plain function."""
    code = function.__code__
    size = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:size]
    last = function.__defaults__ or ()
    defaults = [MISSING] * (code.co_argcount - len(last)) + list(last)
    named = function.__kwdefaults__ or {}
    defaults += [named.get(name, MISSING) for name in names[code.co_argcount :]]
    return Parameters(names, code.co_argcount, code.co_posonlyargcount, tuple(defaults))


def refuse_function(function: FunctionType) -> str:
    """Why a function is never compiled, told from its code alone; or nothing."""
    flags = function.__code__.co_flags
    if flags & (
        inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
    ):
        return "it is a generator or a coroutine: what it gives is not there when it returns"
    if flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return "it takes any number of arguments (*args or **kwargs)"
    return ""


def find_outside(function: Callable[..., Any]) -> tuple[tuple[Outside, ...], str]:
    """What a function reads from outside and must not change while it is compiled; and why it can't be, or nothing."""
    assert isinstance(function, FunctionType)
    found = []
    for home, name, value in (*_read_globals(function), *_read_closure(function)):
        why = _refuse_value(name, value)
        if why:
            return (), why
        if not isinstance(value, ModuleType) and home is not vars(builtins):
            found.append(Outside(home, name, value))
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    if names & _WAYS_ROUND:
        return (), f"it uses {', '.join(sorted(names & _WAYS_ROUND))}, by which it could change its arguments"
    if "random" in names:
        return (), "it draws random numbers: two calls differ"
    return tuple(found), ""


def fold(function: FunctionType) -> FunctionType:
    """The same function with every parameter by place, as Numba takes it."""
    code = function.__code__
    plain = code.replace(
        co_argcount=code.co_argcount + code.co_kwonlyargcount, co_kwonlyargcount=0, co_posonlyargcount=0
    )
    made = FunctionType(plain, function.__globals__, function.__name__, None, function.__closure__)
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of functions and comprehensions inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _read_globals(function: FunctionType) -> Iterator[tuple[Any, str, Any]]:
    known, built_in = function.__globals__, vars(builtins)
    for code in _codes(function.__code__):
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                name = step.argval
                home = known if name in known else built_in
                yield home, name, home.get(name, MISSING)


def _read_closure(function: FunctionType) -> Iterator[tuple[Any, str, Any]]:
    return ((function, name, value) for name, value in _read_cells(function))


def _read_cells(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            yield name, MISSING


def _refuse_value(name: str, value: Any) -> str:
    """Why a value from outside can't be held on to, or nothing."""
    if name in _DOING and callable(value):
        return f"it calls {name}: what it does besides its answer would be done at other times"
    if isinstance(value, ModuleType):
        return _refuse_module(value)
    if _is_of_chance(value):
        return f"it draws random numbers by {name}: two calls differ"
    if isinstance(value, np.ndarray | list | dict | set | bytearray | MappingProxyType):
        return f"it reads '{name}' from outside, which may change in place: give it as an argument"
    if isinstance(value, tuple) and not all(isinstance(item, _PLAIN) for item in value):
        return f"it reads '{name}' from outside, a tuple of more than numbers: give it as an argument"
    return _refuse_compiled(value)


def _refuse_compiled(value: Any) -> str:
    """The same of a function that Numba compiled, which is looked into."""
    inner = getattr(value, "py_func", None)
    return find_outside(inner)[1] if isinstance(inner, FunctionType) else ""


def _refuse_module(module: ModuleType) -> str:
    root = module.__name__.partition(".")[0]
    if root not in _CONSTANT_MODULES:
        return f"it reads the module '{module.__name__}', whose values would be held on to: give them as arguments"
    return "it draws random numbers: two calls differ" if "random" in module.__name__ else ""


def _is_of_chance(value: Any) -> bool:
    home = getattr(value, "__module__", None) or ""
    own = type(getattr(value, "__self__", None)).__module__ or ""
    return callable(value) and (home.split(".")[0] == "random" or "numpy.random" in (home, own) or "mtrand" in own)
