"""What a GPU gives: precision, torch.compile, size, memory, many networks in one step, and a fit beside the CPU.

Every step is the library's own (gather, forward, pinball loss, backward, clip, AdamW), on windows that are drawn; times
are the clock's, after a synchronisation. Each part is a process of its own with a time limit, and its lines are kept
as they come. One JSON line a comparison; ratio is ours / theirs; rates are windows a second.

    python benchmarks/gpu.py [--only precision ...] [--out benchmarks/results/gpu.jsonl]
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_step import (
    Case,
    Lesson,
    count_operations,
    count_weights,
    free,
    make_line,
    measure_product,
    open_case,
    open_data,
    peak_of,
    wait,
)
from tell import tell

PLAIN, RICH, KNOWN = (336, 96, 0, 0, 0), (96, 24, 4, 8, 2), (96, 24, 0, 4, 0)
WIDE: dict[str, Case] = {
    "feedforward": Case("feedforward", {"hidden": (4096, 4096)}, PLAIN, 4096),
    "tcn": Case("tcn", {"num_channels": (256,) * 5}, PLAIN, 1024),
    "patchtst": Case("patchtst", {"d_model": 512, "layers": 8, "dim_feedforward": 2048}, PLAIN, 1024),
    "tft": Case("tft", {"hidden": 256}, RICH, 1024),
    "hybrid": Case("cnn_lstm_transformer", {"scale": 8.0}, KNOWN, 1024),
}
LARGE: dict[str, Case] = {
    "hybrid 100 M": Case("cnn_lstm_transformer", {"scale": 18.2}, KNOWN, 512),
    "tft 100 M": Case("tft", {"hidden": 512, "scale": 1.5}, RICH, 256),
    "hybrid 500 M": Case("cnn_lstm_transformer", {"scale": 41.0}, KNOWN, 256),
    "tft 500 M": Case("tft", {"hidden": 512, "scale": 3.15}, RICH, 128),
}
NAMES = ("dlinear", "nhits", "lstm", "tcn", "patchtst", "tft")
USUAL = {name: Case(name, {}, (96, 24, 0, 0, 0), 256) for name in NAMES}
TINY: dict[str, dict[str, Any]] = {  # for a look at the script on a CPU
    "feedforward": {"hidden": (8,)},
    "tcn": {"num_channels": (4,) * 5},
    "patchtst": {"d_model": 16, "layers": 1, "dim_feedforward": 16},
    "tft": {"hidden": 8},
    "cnn_lstm_transformer": {"width": 8},
}
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
STEPS, REPEATS, SPEAKING_S = 20, 3, 0.5  # first steps, runs, and about how long one is
MEMBERS = (64, 256)

Lines = Iterator[dict[str, Any]]


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=sorted(PARTS),
        default=[name for name in PARTS if " " not in name],
        help="some parts",
    )
    parser.add_argument("--out", type=Path, help="a file for the lines")
    parser.add_argument("--device", default="cuda", help="cpu: a look at the script, with tiny networks")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for all parts")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # one part, in a process of its own
    options = parser.parse_args()
    if options.part:
        say_part(options.part, options.device)
        return
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU on this machine; nothing was measured.")
    end = time.monotonic() + options.limit
    for name in options.only:
        seconds = min(PARTS[name][1], end - time.monotonic())
        if seconds > 10:
            run_part(name, options.device, seconds=seconds, out=options.out)


def run_part(name: str, device: str, *, seconds: float, out: Path | None) -> None:
    """One part in a process of its own, which is ended when its time is over; its lines are kept as they come."""
    started = time.monotonic()
    words = [sys.executable, "-u", __file__, "--part", name, "--device", device]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as part:
        try:
            for line in read_until(part, started + seconds):
                print(line, end="", flush=True)
                if out:
                    out.parent.mkdir(parents=True, exist_ok=True)
                    with out.open("a") as file:
                        file.write(line)
        finally:
            part.kill()
    spent = time.monotonic() - started
    print(f"{name}: {spent:.0f} s, exit code {part.returncode}", file=sys.stderr, flush=True)


def read_until(part: subprocess.Popen[str], end: float) -> Iterator[str]:
    """A process's lines until it ends or its time is over."""
    import threading

    timer = threading.Timer(max(end - time.monotonic(), 0.0), part.kill)
    timer.start()
    try:
        assert part.stdout is not None
        yield from part.stdout
    finally:
        timer.cancel()


def say_part(name: str, device: str) -> None:
    """Prints a part's lines as they come."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if device == "cuda" else 1)
    part, _, *words = PARTS[name]
    tell(part(device, *words))


def fitted_to(case: Case, device: str) -> Case:
    """The case, or a tiny one of its kind for a CPU."""
    return case if device == "cuda" else Case(case.model, TINY.get(case.model, {}), case.sizes, 4)


def settle(lesson: Lesson) -> tuple[int, float]:
    """Warms up; how many steps take half a second, and the mean loss of the first ones."""
    loss = lesson.learn(STEPS)
    rate = lesson.rate(3) / lesson.course.train.batch_size
    most = len(lesson.course.training) // lesson.course.train.batch_size  # an epoch of full batches has no more
    return max(3, min(400, most, round(SPEAKING_S * rate))), loss


def compare_precisions(device: str) -> Lines:
    """The rate and the loss of each network in each precision, and what `fastest` would take."""
    for name in ("feedforward", "tcn", "patchtst", "tft"):
        case = fitted_to(WIDE[name], device)
        source = open_data(case.sizes, device=device)
        found: dict[str, tuple[float, float]] = {}
        for precision in PRECISIONS if device == "cuda" else ("float32", "bfloat16"):
            lesson = open_case(case, device=device, precision=precision, source=source)
            steps, loss = settle(lesson)
            rates = [lesson.rate(steps) for _ in range(REPEATS)]
            found[precision] = statistics.median(rates), loss
            weights, failure = count_weights(lesson), lesson.learner.means.explain_failure(loss)
            theirs = found["float32"]
            note = (
                f"{case.words}, {weights:,} weights; mean loss of the first {STEPS} steps {loss:.5f}, in float32 "
                f"{theirs[1]:.5f}{'; ' + failure if failure else ''}; median of {REPEATS} runs of {steps} steps"
            )
            if precision != "float32":
                title = f"{name} in {precision} vs float32"
                yield make_line(title, found[precision][0], theirs[0], unit="windows/s", n=REPEATS, note=note)
            del lesson
            free(device)
        yield tell_fastest(name, case, source, found=found, device=device)


def tell_fastest(
    name: str, case: Case, source: Any, *, found: dict[str, tuple[float, float]], device: str
) -> dict[str, Any]:
    """What `precision=fastest` takes, beside the best of what was measured."""
    from functools import partial

    from tidewright.runtime import detect_runtime
    from tidewright.training.epoch import draw_batches
    from tidewright.training.measured import CANDIDATES, Trial, find_fastest

    lesson = open_case(case, device=device, source=source)
    train = lesson.course.train
    draw = partial(draw_batches, len(source), train, shuffle=torch.Generator())
    trial = Trial(lesson.learner.network, train, source, lesson.loss, draw, detect_runtime(device), device=device)  # type: ignore[arg-type]
    started = time.perf_counter()
    chosen, words = find_fastest(trial)
    spent = time.perf_counter() - started
    rates = {precision: rate for precision, (rate, _) in found.items() if precision in CANDIDATES}
    best = max(rates, key=lambda precision: rates[precision])
    note = f"{words}, in {spent:.1f} s; the best of what was measured is {best}; {case.words}"
    title = f"{name}, what precision=fastest takes vs the best of float32, tf32, bfloat16"
    return make_line(title, rates.get(chosen, 0.0), rates[best], unit="windows/s", n=REPEATS, note=note)


def compare_compiled(device: str) -> Lines:
    """Three networks compile at once, each in a process; they take turns when they are timed."""
    with tempfile.TemporaryDirectory() as folder:
        place = os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder, "TIDEWRIGHT_TURN": f"{folder}/turn"}
        words = [sys.executable, __file__, "--device", device, "--part"]
        parts = [
            subprocess.Popen([*words, f"compile {name}"], stdout=subprocess.PIPE, text=True, env=place)
            for name in ("patchtst", "tft", "hybrid")
        ]
        try:
            for part in parts:
                assert part.stdout is not None
                yield from map(json.loads, part.stdout)
        finally:
            for part in parts:
                part.kill()


def compare_one_compiled(device: str, name: str) -> Lines:
    """A network's steps compiled and as it is, in bfloat16."""
    from tidewright.training.measured import compile_scores

    case = fitted_to(WIDE[name], device)
    lesson = open_case(case, device=device, precision="bfloat16")
    means = lesson.learner.means
    lesson.learn(3)
    started = time.perf_counter()
    means.compiled = compiled = compile_scores(lesson.learner.network)
    lesson.learn(1)
    wait(device)
    spent = time.perf_counter() - started
    rates: dict[bool, list[float]] = {True: [], False: []}
    with open(os.environ.get("TIDEWRIGHT_TURN", os.devnull), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        means.compiled = None
        steps, _ = settle(lesson)
        for _ in range(REPEATS):
            for kind, seen in rates.items():
                means.compiled = compiled if kind else None
                lesson.learn(2)
                seen.append(lesson.rate(steps))
    ours, theirs = (statistics.median(rates[kind]) for kind in (True, False))
    saved = 1 / theirs - 1 / ours
    back = f"paid back after {spent / saved / case.batch:,.0f} steps" if saved > 0 else "never paid back"
    note = (
        f"{case.words}, {count_weights(lesson):,} weights, bfloat16; compiling took {spent:.0f} s by the clock, three "
        f"networks at once on {len(os.sched_getaffinity(0))} cores, {back}; median of {REPEATS} alternating runs of "
        f"{steps} steps"
    )
    yield make_line(f"{name} compiled vs as it is", ours, theirs, unit="windows/s", n=REPEATS, note=note)


def measure_large(device: str, *names: str) -> Lines:
    """Rate, share of the card's own rate, and memory with blocks computed again, of large networks in bfloat16."""
    from contextlib import nullcontext

    from tidewright.models.torch.recompute import recompute_blocks

    best = measure_product(device, size=8192 if device == "cuda" else 512)
    for name in names:
        case = fitted_to(LARGE[name], device)
        operations, source = count_operations(case), open_data(case.sizes, device=device)
        rates, peaks, weights = {}, {}, 0
        for again in (False, True):
            lesson = open_case(case, device=device, precision="bfloat16", source=source)
            weights = count_weights(lesson)
            with recompute_blocks(lesson.learner.network, model=case.model) if again else nullcontext():
                lesson.learn(2)
                with peak_of(device) as peak:
                    lesson.learn(1)
                steps = max(3, min(60, round(SPEAKING_S * lesson.rate(2) / case.batch)))
                rates[again] = statistics.median(lesson.rate(steps) for _ in range(REPEATS))
                peaks[again] = peak[0] if peak else 1.0
            del lesson
            free(device)
        words = f"{case.words}, {weights:,} weights, bfloat16, dropout as by default"
        note = f"{words}; theirs is one bfloat16 product of two 8192 x 8192 matrices; {rates[False]:,.0f} windows/s"
        share = f"{name}: operations a second of a whole training step vs the card's own"
        reached = operations * rates[False] / case.batch
        yield make_line(share, reached / 1e12, best / 1e12, unit="TFLOP/s", n=REPEATS, note=note)
        note = f"{words}; with recompute vs without; of a step, above weights, gradients and the optimiser's state"
        yield make_line(f"{name}: memory", peaks[True], peaks[False], unit="MiB", n=1, note=note)
        yield make_line(f"{name}: rate", rates[True], rates[False], unit="windows/s", n=REPEATS, note=note)


def compare_populations(device: str) -> Lines:
    """Many 100-64-32-16-1 networks in one step: on the card, on the CPU, and one by one on the card."""
    for members in MEMBERS if device == "cuda" else (4,):
        together = time_epochs(crew_of(members, device), device)
        others: dict[str, Callable[[], float]] = {"at once on the CPU": time_epochs(crew_of(members, "cpu"), "cpu")}
        others["one by one on it"] = time_epochs(alone_on(device), device)
        for other, run in others.items():
            count = 1 if other.startswith("one") else members
            pairs = [(together() / members, run() / count) for _ in range(REPEATS + 1)][1:]
            ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            note = (
                f"wall seconds of a step and network; {members} networks of 100-64-32-16-1, batch 32, 4,096 rows, "
                f"{torch.get_num_threads()} threads on the CPU; median of {REPEATS} alternating epochs"
            )
            title = f"population: {members} at once on the card vs {other}"
            yield make_line(title, ours, theirs, unit="s/model-step", n=REPEATS, note=note)


def crew_of(members: int, device: str) -> tuple[Callable[[], Any], int]:
    """An epoch of a population, and its steps."""
    import population

    from tidewright.training.population_loop import Crew

    networks, courses = population.named_parts(members, device=device)
    crew = Crew(networks, courses, draws=[torch.Generator() for _ in networks])
    return lambda: crew.run_epoch(crew.plan_rates([()] * members)), population.count_steps(courses[0])


def alone_on(device: str) -> tuple[Callable[[], Any], int]:
    """An epoch of one network, and its steps."""
    import population

    from tidewright.training.epoch import open_losses, run_epoch
    from tidewright.training.learner import open_learner

    (network,), (course,) = population.named_parts(1, device=device)
    learner = open_learner(network.to(device), course.train)
    loss = open_losses(course, network.shape.quantiles)[0]
    return lambda: run_epoch(learner, course, measure=loss), population.count_steps(course)


def time_epochs(work: tuple[Callable[[], Any], int], device: str) -> Callable[[], float]:
    """Wall seconds a step."""
    epoch, steps = work

    def run() -> float:
        wait(device)
        started = time.perf_counter()
        epoch()
        wait(device)
        return (time.perf_counter() - started) / steps

    return run


def compare_usual(device: str) -> Lines:
    """The catalog's networks as they are by default: on the card, and on all cores of its machine."""
    from tidewright.runtime import keep_memory

    for name, whole in USUAL.items():
        case = fitted_to(whole, device)
        there, here = open_case(case, device=device), open_case(case, device="cpu")
        steps, _ = settle(there)
        with keep_memory():  # as `fit` does
            here.learn(1)
            few = max(2, min(60, round(SPEAKING_S * here.rate(2) / case.batch)))
            pairs = [(there.rate(steps), here.rate(few)) for _ in range(REPEATS)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        note = (
            f"{case.words}, {count_weights(there):,} weights, float32; theirs is the CPU with "
            f"{torch.get_num_threads()} threads; median of {REPEATS} alternating runs of {steps} and {few} steps"
        )
        yield make_line(f"{name} on the card vs on the CPU", ours, theirs, unit="windows/s", n=REPEATS, note=note)


PARTS: dict[str, tuple[Any, ...]] = {  # what gives the lines, the seconds that it may take, and for what
    "precision": (compare_precisions, 100.0),
    "large": (measure_large, 90.0, "hybrid 100 M", "tft 100 M"),
    "population": (compare_populations, 40.0),
    "usual": (compare_usual, 60.0),
    "compile": (compare_compiled, 170.0),
    "larger": (measure_large, 90.0, "hybrid 500 M", "tft 500 M"),
    "compile patchtst": (compare_one_compiled, 150.0, "patchtst"),
    "compile tft": (compare_one_compiled, 150.0, "tft"),
    "compile hybrid": (compare_one_compiled, 150.0, "hybrid"),
}

if __name__ == "__main__":
    main()
