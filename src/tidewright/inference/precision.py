"""In which precision a bundle may be answered, by whom, and how far from its own answers.

A graph is of one precision, which was judged when it was made. A network may be asked in half precision as it is.
"""

from __future__ import annotations

from tidewright.inference.backends.networks import explain_no_network
from tidewright.registry.manifest import Manifest

FULL = "float32"
HALVES = {"bfloat16": 0.02, "float16": 0.005}  # how far the example's answers may be apart, relative: 8 digits, and 11
BY_WORD = ("eager", "compiled")  # the backends that take a network in half precision


def precision_of(manifest: Manifest) -> str:
    """What the bundle's graph is computed in."""
    return FULL if manifest.quantised is None else manifest.quantised.precision


def explain_refused(manifest: Manifest, asked: str) -> str:
    """Why no backend may answer in what was asked for, and what to do; empty where one may."""
    own, name = precision_of(manifest), manifest.name
    if asked in ("auto", own, FULL):
        return ""
    if manifest.quantised is not None:
        original = manifest.quantised.original[:12]
        return f"'{name}' is {own}. For {asked} open the bundle that it was made of, {original}."
    call = f"tw.quantise(bundle, precision='{asked}', panel=..., folder=...)"
    if asked not in HALVES:
        return (
            f"'{name}' is {FULL}, and only validation windows tell what {asked} costs: {call} asks them, and tw.open "
            "opens what it gives."
        )
    why = explain_no_network(manifest)
    return f"'{name}' is {FULL}, and {asked} is for networks alone: {why}. Leave precision out." if why else ""


def explain_other(backend: str, manifest: Manifest, asked: str) -> str:
    """Why one backend doesn't answer in what was asked for; empty where it does, and for auto."""
    own = precision_of(manifest)
    if asked == "auto":
        return ""
    if asked in HALVES and asked != own:
        advice = f"tw.quantise(bundle, precision='{asked}', ...) makes a graph of it"
        if asked == "bfloat16":  # which ONNX Runtime has no kernels for on a CPU
            advice = f"backend='eager' is who answers in {asked} where the processor has it"
        return "" if backend in BY_WORD else f"{backend} answers in {own} here; {advice}"
    given = FULL if backend in BY_WORD else own
    return "" if asked == given else f"{backend} answers in {given} here, and {asked} was asked for"


def settle_precision(backend: str, manifest: Manifest, asked: str) -> tuple[str, str]:
    """What a backend answers in, and why."""
    own = precision_of(manifest)
    if asked != "auto":
        return asked, "asked for"
    if backend in BY_WORD and own != FULL:
        return FULL, f"the bundle's graph is {own}, its network in torch is {FULL}"
    return own, "what the bundle is"
