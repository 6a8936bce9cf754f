"""The step in Numba's pipeline that puts checked arithmetic in place, and notes what can't be checked.

It runs once types are known. What it refuses stands in the compilation's metadata under `REFUSED`. Imported when first
used, because numba takes 0.4 s.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import mk_unique_var
from numba.core.typed_passes import NopythonTypeInference
from numba.core.types.misc import unliteral

from tidewright.inference.jit.checked_ops import CHECKED, MATH, RESULTS, TO_WHOLE, check_whole
from tidewright.inference.jit.ways import find_mixed

REFUSED = "tidewright_refused"
_POWERS = (operator.pow, operator.ipow)
_SHIFTS = (operator.lshift, operator.ilshift)
_SIGNS = (operator.neg, operator.invert, operator.pos)


class CheckedCompiler(CompilerBase):
    """Numba's own pipeline, and `PutChecks` after its types are known."""

    def define_pipelines(self) -> list[Any]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(PutChecks, NopythonTypeInference)
        manager.finalize()
        return [manager]


@register_pass(mutates_CFG=False, analysis_only=False)
class PutChecks(FunctionPass):
    """Replaces integer arithmetic, and checks the answers of `math`, powers and roundings."""

    _name = "tidewright_put_checks"

    def __init__(self) -> None:  # Numba's own is abstract
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        reasons: list[str] = []
        state.metadata[REFUSED] = reasons
        reasons += find_mixed(state.func_ir, state.typemap)
        for block in state.func_ir.blocks.values():
            checks = _Checks(state, block.scope, reasons)
            block.body = [new for statement in block.body for new in checks.rewrite(statement)]
        return True


class _Checks:
    """One block's rewriting."""

    def __init__(self, state: Any, scope: Any, reasons: list[str]) -> None:
        self._state, self._scope, self._reasons = state, scope, reasons
        self._types = state.typemap

    def rewrite(self, statement: Any) -> Iterator[Any]:
        """The statements that stand in place of one."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            yield from self._store(statement)
        elif isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr):
            yield from self._assign(statement, statement.value)
        else:
            yield statement

    def _assign(self, statement: Any, expr: Any) -> Iterator[Any]:
        if expr.op in ("binop", "inplace_binop"):
            yield from self._operate(statement, expr)
        elif expr.op == "unary":
            if expr.fn in _SIGNS and isinstance(self._type(expr.value), types.Boolean):
                self._refuse("a sign or ~ of a truth value, which Python and NumPy read differently", expr.loc)
            yield statement
        elif expr.op == "call":
            yield from self._call(statement, expr)
        else:
            yield statement

    def _operate(self, statement: Any, expr: Any) -> Iterator[Any]:
        operands = [self._type(expr.lhs), self._type(expr.rhs)]
        fn = expr.immutable_fn if expr.op == "inplace_binop" else expr.fn
        if all(isinstance(kind, types.Integer | types.Boolean) for kind in operands):
            yield from self._operate_whole(statement, expr, fn, operands)
        elif fn in _POWERS and all(isinstance(kind, _NUMBERS) for kind in operands):
            yield from self._check_answer(statement, [expr.lhs, expr.rhs])
        else:
            self._look_at_arrays(expr, fn, operands)
            yield statement

    def _look_at_arrays(self, expr: Any, fn: Any, operands: list[Any]) -> None:
        """Arrays of int64 wrap alike; of narrower integers and truth values the answer has another dtype."""
        kinds = [getattr(kind, "dtype", kind) for kind in operands]
        if fn in _ARITHMETIC and all(isinstance(kind, types.Integer | types.Boolean) for kind in kinds):
            self._look_at_width(expr, kinds)

    def _look_at_width(self, expr: Any, kinds: list[Any]) -> None:
        narrow = [kind for kind in kinds if kind not in (types.int64, types.boolean)]
        if narrow or all(kind == types.boolean for kind in kinds):
            names = " and ".join(str(kind) for kind in kinds)
            self._refuse(f"arithmetic of {names}, which wraps or widens otherwise in NumPy; take int64", expr.loc)

    def _operate_whole(self, statement: Any, expr: Any, fn: Any, operands: list[Any]) -> Iterator[Any]:
        if fn in _ARITHMETIC:
            self._look_at_width(expr, operands)
        if fn in (*_POWERS, *_SHIFTS):
            self._refuse("a power or a shift of integers, which wraps; multiply, or take floats", expr.loc)
        elif fn in CHECKED and set(operands) <= {types.int64, types.boolean}:
            define, call = self._make_call(CHECKED[fn], [expr.lhs, expr.rhs], expr.loc)
            yield define
            statement.value = call
        yield statement

    def _call(self, statement: Any, expr: Any) -> Iterator[Any]:
        keys = _keys(self._types[expr.func.name])
        operands = [self._type(arg) for arg in expr.args]
        if keys & TO_WHOLE and operands and isinstance(operands[0], types.Float):
            if isinstance(self._type(statement.target), types.Integer):
                yield from self._check_whole(expr)
            yield statement
        elif keys & MATH and len(operands) in RESULTS and isinstance(self._type(statement.target), types.Float):
            yield from self._check_answer(statement, list(expr.args))
        else:
            yield statement

    def _check_answer(self, statement: Any, operands: list[Any]) -> Iterator[Any]:
        """The answer under another name, then under its own where Python would have given it."""
        answer = self._type(statement.target)
        if not isinstance(answer, types.Float):
            yield statement
            return
        raw = self._name(answer, statement.loc)
        define, call = self._make_call(RESULTS[len(operands)], [raw, *operands], statement.loc)
        yield ir.Assign(statement.value, raw, statement.loc)
        yield define
        yield ir.Assign(call, statement.target, statement.loc)

    def _check_whole(self, expr: Any) -> Iterator[Any]:
        """The float that is to become an integer, checked before it does."""
        checked = self._name(self._types[expr.args[0].name], expr.loc)
        define, call = self._make_call(check_whole, [expr.args[0]], expr.loc)
        yield define
        yield ir.Assign(call, checked, expr.loc)
        expr.args = [checked, *expr.args[1:]]

    def _store(self, statement: Any) -> Iterator[Any]:
        into, value = self._types[statement.target.name], self._type(statement.value)
        kind = getattr(into, "dtype", None)
        if isinstance(kind, types.Integer) and kind != value and isinstance(value, types.Float | types.Integer):
            self._refuse(f"it writes {value} into an array of {kind}, which cuts it off in silence", statement.loc)
        yield statement

    def _make_call(self, helper: Any, operands: list[Any], loc: Any) -> tuple[Any, Any]:
        kind = self._state.typingctx.resolve_value_type(helper)
        name = self._name(kind, loc)
        call = ir.Expr.call(name, operands, (), loc)
        signature = kind.get_call_type(self._state.typingctx, tuple(self._type(one) for one in operands), {})
        self._state.calltypes[call] = signature
        return ir.Assign(ir.Global(helper.__name__, helper, loc), name, loc), call

    def _name(self, kind: Any, loc: Any) -> Any:
        name = ir.Var(self._scope, mk_unique_var("$checked"), loc)
        self._types[name.name] = kind
        return name

    def _type(self, variable: Any) -> Any:
        return unliteral(self._types[variable.name])

    def _refuse(self, why: str, loc: Any) -> None:
        self._reasons.append(f"line {loc.line}: {why}")


_NUMBERS = (types.Integer, types.Boolean, types.Float)
_DIVISIONS = (operator.floordiv, operator.ifloordiv, operator.mod, operator.imod)
_ARITHMETIC = frozenset((*CHECKED, *_POWERS, *_SHIFTS, *_DIVISIONS))


def _keys(kind: Any) -> frozenset[Any]:
    """What a callee's type stands for: the Python function, or the type that it makes."""
    key = getattr(kind, "typing_key", None)
    if isinstance(kind, types.NumberClass):
        key = int if kind.instance_type == types.int64 else None
    try:
        return frozenset((key,))
    except TypeError:  # not hashable: no function of ours
        return frozenset()
