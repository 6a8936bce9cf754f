"""What is read by what stood around the numbers is what is read with care, to the bit, or it is refused the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.errors import RequestError
from tidewright.serving.heads import LONGEST, MOST, Heads
from tidewright.serving.layouts import FREE, SPARED, Layouts
from tidewright.serving.layouts import MOST as MOST_LAYOUTS
from tidewright.serving.quick import Small
from tidewright.serving.tensors import read_infer

NAMES = ("target", "past")


def frame(data, *, before="", after="", name="target", shape=(1, 3), datatype="FP32"):
    head = f'{{{before}"inputs":[{{"name":"{name}","shape":{list(shape)},"datatype":"{datatype}","data":{data}}}]'
    return f"{head}{after}}}".encode()


def read(body, head=None):
    return read_infer(body, head=head, names=NAMES, output="quantiles", rows=9, depth=9)


def tell(call):
    """The arrays to the bit, the id and the form that is wanted, or the refusal."""
    try:
        asked = call()
    except RequestError as error:
        return str(error)
    arrays = [(name, one.dtype.str, one.shape, one.tobytes()) for name, one in asked.arrays.items()]
    return arrays, asked.id, asked.binary


def agree(first, second, *, head=None):
    """Whether the second is read without care after the first was; it must then be the same."""
    layouts = Layouts()
    layouts.remember(first, head, read(first, head))
    found = layouts.read(second, head)
    if found is not None:
        assert tell(lambda: found) == tell(lambda: read(second, head))
    return found is not None


def test_other_numbers_in_the_same_place_are_read_at_once():
    first = frame("[1, 2.5, -3e2]", before='"id":"a", ', after=',"parameters":{"binary_data_output":true}')
    assert agree(first, first.replace(b"2.5", b"1e39"))
    assert agree(first, first.replace(b"[1, 2.5, -3e2]", b"[16777217,-0.0,NaN]"))
    head = json.dumps({"inputs": [{"name": "past", "shape": [2, 1], "datatype": "FP64"} | {
        "parameters": {"binary_data_size": 16}}]}).encode()  # fmt: skip
    for more in (b"", b" "):  # one of them leaves the numbers where none of their size may be
        whole = head + more
        assert agree(whole + bytes(16), whole + np.array([1.5, np.nan]).tobytes(), head=len(whole))


@pytest.mark.parametrize(
    "data",
    ["[1,2]", "[1,2,3,4]", "[true,2,3]", "[1,false,3]", "[1,null,3]", '[1,"2",3]', "[1,[2],3]", "[[1,2,3]]", "[1,2,{}]",
     "[1,2,3", "[1,2,,3]", "[1,2,Infinity]", f"[1,2,1{'0' * 400}]", '[1,2,3],"data":[4,5,6]', "[]", "7", '"[1,2,3]"'],
)  # fmt: skip
def test_what_is_no_list_of_as_many_plain_numbers_is_read_with_care(data):
    assert not agree(frame("[1,2,3]"), frame(data))


@pytest.mark.parametrize(
    "first",
    [
        frame("[[1,2,3]]"),
        frame("[1,2,3]", datatype="FP64"),
        frame('[4,5,6],"data":[1,2,3]'),
        frame("[1,2,3]", before='"id":"\\"data",'),
        frame("[1,2,3]", before='"data":[1,2,3],'),
        frame("[1,2,3]", before=f'"more":"{"a" * 2000}",'),
    ],
)
def test_a_request_whose_numbers_stand_elsewhere_leaves_no_layout(first):
    assert not agree(first, first)


def test_binary_tensors_of_another_length_are_read_with_care():
    tensor = {"name": "target", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor]}).encode()
    assert not agree(head + bytes(8), head + bytes(9), head=len(head))
    mixed = json.dumps({"inputs": [{**tensor, "name": "past"}, json.loads(frame("[1,2,3]"))["inputs"][0]]}).encode()
    assert not agree(mixed + bytes(8), mixed + bytes(8), head=len(mixed))


@given(st.lists(st.floats(width=32) | st.integers(), min_size=1, max_size=5), st.booleans())
def test_numbers_are_read_the_same_both_ways(values, packed):
    text = json.dumps(values, separators=(",", ":") if packed else None)
    shape = (len(values), 1)
    agree(frame(f"[{','.join('0' for _ in values)}]", shape=shape), frame(text, shape=shape))


def test_layouts_are_let_go_when_there_are_many_and_few_are_made_that_nobody_uses():
    def ask(layouts, number):
        body = frame("[1,2,3]", before=f'"id":"{number}",')
        found = layouts.read(body, None)
        if found is None:
            layouts.remember(body, None, read(body))
        return found and found.id

    vain, used = Layouts(), Layouts()
    for number in range(3000):
        ask(vain, number)
        ask(used, number // 5)
    assert FREE < len(vain._known) <= FREE + 3000 // SPARED
    assert 0 < len(used._known) < MOST_LAYOUTS
    assert ask(used, 599) == "599"
    assert any(ask(vain, "again") for _ in range(SPARED + 1))


def test_heads_are_known_by_their_bytes_as_long_as_the_models_stay():
    desk = SimpleNamespace(roster=object())
    heads, small = Heads(desk), Small(None, {}, 2)
    whole = b"POST /a HTTP/1.1\r\nHost: b\r\n\r\n{}"
    assert heads.recall(whole) is None
    heads.remember(whole, small)
    assert heads.recall(whole.replace(b"{}", b"[]")) == (small, b"[]")
    for other in (whole[:-1], whole + b"P", whole.replace(b"a", b"c", 1), b"\r\n" + whole, b"{}", b""):
        assert heads.recall(other) is None
    heads.remember(whole + whole, small)
    heads.remember(b"a" * LONGEST + whole, small)
    assert len(heads._known) == 1
    for number in range(MOST):
        heads.remember(b"%d%b" % (number, whole), small)
    assert len(heads._known) == MOST
    desk.roster = object()
    assert heads.recall(b"7" + whole) is None
