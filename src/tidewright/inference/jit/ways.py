"""Whether what a function returns has one type whichever way it takes, as compiled code always has.

`total = 0` and then `total += x[i]` is an int where the loop never turns, and a float where it does; compiled it is
always a float. Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from typing import Any

from numba.core import ir
from numba.core.types.misc import unliteral

_KEEPING = {operator.add, operator.sub, operator.mul, operator.mod, operator.floordiv, operator.pow}


def find_mixed(func_ir: Any, typemap: Any) -> list[str]:
    """A sentence for every return value that is of several types, by the way that was taken."""
    definitions: dict[str, list[Any]] = defaultdict(list)
    returned = []
    for block in func_ir.blocks.values():
        for statement in block.body:
            if isinstance(statement, ir.Assign):
                definitions[statement.target.name].append(statement.value)
            elif isinstance(statement, ir.Return):
                returned.append(statement.value)
    walk = _Walk(definitions, typemap)
    kinds = set().union(*(walk.kinds(value) for value in returned)) - {"none"}
    if len(kinds) > 1:
        walk.mixed.append(" or ".join(sorted(kinds)))
    return [f"it gives {text}, by the way that is taken; begin with 0.0 in place of 0" for text in walk.mixed]


class _Walk:
    """From return values back to what they may have been made as."""

    def __init__(self, definitions: dict[str, list[Any]], typemap: Any) -> None:
        self._definitions, self._types = definitions, typemap
        self._seen: dict[str, frozenset[str]] = {}
        self.mixed: list[str] = []

    def kinds(self, variable: Any) -> frozenset[str]:
        """The types of a variable, by the way that was taken."""
        if variable.name not in self._seen:
            self._seen[variable.name] = frozenset()  # a loop comes back here
            found = [self._kinds_of(variable, value) for value in self._definitions[variable.name]]
            self._seen[variable.name] = frozenset().union(*found)
        return self._seen[variable.name]

    def _kinds_of(self, target: Any, value: Any) -> frozenset[str]:
        if isinstance(value, ir.Var):
            return self.kinds(value)
        op = getattr(value, "op", "")
        if op == "cast":
            return self.kinds(value.value)
        if op == "phi":
            known = [one for one in value.incoming_values if isinstance(one, ir.Var)]
            return frozenset().union(*(self.kinds(one) for one in known))
        if op in ("binop", "inplace_binop"):
            return self._of_operation(target, value)
        if op == "build_tuple":
            self._look_into(value.items)
        return self._own(target)

    def _of_operation(self, target: Any, value: Any) -> frozenset[str]:
        fn = value.immutable_fn if value.op == "inplace_binop" else value.fn
        operands = [self.kinds(value.lhs), self.kinds(value.rhs)]
        if fn not in _KEEPING or all(len(kinds) <= 1 for kinds in operands):
            return self._own(target)
        return frozenset(max(left, right, key=_rank) for left in operands[0] for right in operands[1])

    def _look_into(self, items: Any) -> None:
        for item in items:
            kinds = self.kinds(item) - {"none"}
            if len(kinds) > 1:
                self.mixed.append(" or ".join(sorted(kinds)))

    def _own(self, target: Any) -> frozenset[str]:
        return frozenset((str(unliteral(self._types[target.name])),))


def _rank(kind: str) -> int:
    """Of two types the one that their sum has."""
    return ("bool", "int64", "float32", "float64", "complex64", "complex128").index(kind) if kind in _RANKED else 9


_RANKED = ("bool", "int64", "float32", "float64", "complex64", "complex128")
