"""CPU seconds of one training step of one of many small networks: all in one batched step, against one by one.

Sides are measured in turn on one thread; medians. One JSON line a comparison; ratio is ours / theirs. "named" is the
100-64-32-16-1 network on arrays, batch 32, 64 of them; the others are the catalog's networks at their usual sizes on
simulated hourly series (lookback 48, horizon 12, three quantiles).

    python benchmarks/population.py [--only named|catalog|vmap] [--out benchmarks/results/population.jsonl]
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from tell import make_line, open_parser, tell
from torch import Generator, nn

SIZES, BATCH, MEMBERS, ROWS = (100, 64, 32, 16, 1), 32, 64, 4096
LOOKBACK, HORIZON, QUANTILES = 48, 12, (0.1, 0.5, 0.9)
CASES: tuple[tuple[str, dict[str, Any], int], ...] = (  # name, options, batch
    ("feedforward", {}, 32),
    ("feedforward", {"hidden": (32,)}, 32),
    ("feedforward", {}, 256),
    ("resmlp", {}, 32),
    ("dlinear", {}, 32),
    ("nlinear", {}, 32),
    ("rlinear", {}, 32),
    ("tsmixer", {}, 32),
    ("tide", {}, 32),
    ("nbeats", {}, 32),
    ("nhits", {}, 32),
    ("tcn", {}, 32),
    ("transformer_encoder", {}, 32),
    ("adaptive_transformer", {}, 32),
)
# TSMixer is not among them: its layer over features has a backward pass of its own, which vmap refuses
GROUPED = ("feedforward", "resmlp", "dlinear", "nlinear", "rlinear", "tide", "nhits", "tcn")
REPEATS = 5

Measure = Callable[[], float]


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--only", choices=("named", "catalog", "vmap"), help="one part")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {"named": compare_named, "catalog": compare_catalog, "vmap": compare_vmap}
    asked = [part for name, part in parts.items() if options.only in (None, name)]
    tell((line for part in asked for line in part()), out=options.out)


def compare_named() -> Iterator[dict[str, Any]]:
    """The named network, against a bare loop and against our own loop one by one."""
    ours = named_population(MEMBERS)
    note = (
        f"{MEMBERS} networks, batch {BATCH}; gather, scaling, forward, squared error, backward, clip, Adam on our side"
    )
    for kind, words in BARE.items():
        yield compare(f"100-64-32-16-1 vs bare loop, {kind}", ours, bare_loop(kind), note=f"{note}; {words}")
    yield compare("100-64-32-16-1 vs our loop one by one", ours, named_alone(), note=f"{note}; the same in `fit`")


def compare_catalog() -> Iterator[dict[str, Any]]:
    """The catalog's networks: a population against `fit`'s own loop."""
    for name, options, batch in CASES:
        for members in (16, 64) if name == "feedforward" else (16,):
            ours, theirs = (
                panel_population(name, options, members=members, batch=batch),
                panel_alone(name, options, batch=batch),
            )
            title = " ".join([name, *(f"{option} {value}" for option, value in options.items())])
            note = f"{members} networks, batch {batch}; both sides gather, standardise, clip and take AdamW's step"
            yield compare(f"{title} batch {batch}, {members} at once vs one by one", ours, theirs, note=note)


def compare_vmap() -> Iterator[dict[str, Any]]:
    """What torch.func's vmap would give: beside our grouped layers, or beside one by one where there are none."""
    warnings.filterwarnings("ignore", message="There is a performance drop")  # it is what is measured
    note = "16 networks, batch 32, no dropout; forward and backward pass alone, on inputs at hand"
    for name in GROUPED:
        yield compare(
            f"{name}, our grouped layers vs torch.func.vmap", passes(name, "grouped"), passes(name, "vmap"), note=note
        )
    yield compare("lstm, torch.func.vmap vs one by one", passes("lstm", "vmap"), passes("lstm", "alone"), note=note)


def compare(name: str, ours: Measure, theirs: Measure, *, note: str) -> dict[str, Any]:
    """One comparison, in CPU seconds a step of one network; the first turn warms up."""
    from tidewright.runtime import keep_memory

    with keep_memory():  # as `fit` does
        pairs = [(ours(), theirs()) for _ in range(REPEATS + 1)][1:]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    note = f"{note}; median of {REPEATS} alternating runs, one thread"
    return make_line(f"population: {name}", mine, other, unit="cpu_s/model-step", n=REPEATS, note=note)


BARE = {
    "default": "theirs is torch.optim.Adam as it is by default, no scaling and no clipping",
    "fused": "theirs is fused Adam, no scaling and no clipping",
}


def arrays() -> tuple[Any, Any]:
    """Features and labels of the named case."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(ROWS, SIZES[0])).astype(np.float32)
    return features, (features[:, :5].sum(axis=1, keepdims=True) + draw.normal(size=(ROWS, 1))).astype(np.float32)


def bare_loop(kind: str, *, steps: int = 300) -> Measure:
    """A loop as one writes it by hand."""
    features, labels = (torch.from_numpy(part) for part in arrays())
    layers: list[nn.Module] = []
    for before, after in pairwise(SIZES):
        layers += [nn.Linear(before, after), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=kind == "fused" or None)
    criterion = nn.MSELoss()

    def run() -> float:
        started = time.process_time()
        order = torch.randperm(ROWS)
        for step in range(steps):
            first = step * BATCH % ROWS
            index = order[first : first + BATCH]
            optimizer.zero_grad()
            loss = criterion(network(features[index]), labels[index])
            loss.backward()
            optimizer.step()
        return (time.process_time() - started) / steps

    return run


def named_parts(members: int, *, device: Any = "cpu") -> tuple[list[Any], list[Any]]:
    """Networks of the named form, and their courses."""
    from tidewright.models.classic import ModelConfig
    from tidewright.models.torch.classic import build_classic
    from tidewright.runtime import detect_runtime
    from tidewright.training.fit_arrays import open_lesson, read_labelled
    from tidewright.training.spec import TrainSpec

    config = ModelConfig("feed_forward", SIZES[0], SIZES[1:-1], dropout_rate=0.0, use_batch_norm=False)
    data = read_labelled(arrays(), name="arrays")
    lessons = [
        open_lesson(
            build_classic(config, seed=seed),
            training=data,
            judging=data,
            train=TrainSpec(
                seed=seed,
                batch_size=BATCH,
                optimizer="adam",
                weight_decay=0.0,
                loss="mse",
                learning_rate=1e-4 * (seed + 1),
            ),
            runtime=detect_runtime(device),
        )
        for seed in range(members)
    ]
    return [learner for learner, _ in lessons], [course for _, course in lessons]


def named_population(members: int) -> Measure:
    """An epoch of all of them."""
    networks, courses = named_parts(members)
    return epochs_together(networks, courses, draws=[Generator() for _ in networks])


def named_alone() -> Measure:
    """An epoch of one of them."""
    (network,), (course,) = named_parts(1)
    return epochs_alone(network, course)


def panel_parts(name: str, options: dict[str, Any], *, members: int, batch: int) -> tuple[list[Any], list[Any]]:
    """Networks of the catalog, and their courses."""
    from tidewright.data.simulate import noise_panel
    from tidewright.data.splits import Cutoffs
    from tidewright.features.view import View
    from tidewright.features.windows import cut_windows
    from tidewright.models.build import build_spec
    from tidewright.models.torch.network import build
    from tidewright.models.torch.shape import Shape
    from tidewright.training.epoch import Course
    from tidewright.training.gather import open_source
    from tidewright.training.spec import TrainSpec

    panel = noise_panel(n_series=8, length=600, seed=0)
    first, last = panel.span
    source = open_source(cut_windows(panel, View(LOOKBACK), horizon=HORIZON, cutoffs=Cutoffs(first, last - HORIZON)))
    networks, courses = [], []
    for seed in range(members):
        torch.manual_seed(seed)
        networks.append(build(build_spec(name, options), Shape(LOOKBACK, HORIZON, 0, 0, 0, QUANTILES)))
        train = TrainSpec(seed=seed, steps=10, batch_size=batch, learning_rate=1e-4 * (seed + 1))
        courses.append(Course(name, "", source, source, train))
    return networks, courses


def panel_population(name: str, options: dict[str, Any], *, members: int, batch: int) -> Measure:
    """An epoch of all of them."""
    networks, courses = panel_parts(name, options, members=members, batch=batch)
    return epochs_together(networks, courses, draws=[Generator().manual_seed(seed) for seed in range(members)])


def panel_alone(name: str, options: dict[str, Any], *, batch: int) -> Measure:
    """An epoch of one of them."""
    (network,), (course,) = panel_parts(name, options, members=1, batch=batch)
    return epochs_alone(network, course)


def epochs_together(networks: Sequence[Any], courses: Sequence[Any], *, draws: Sequence[Generator]) -> Measure:
    """CPU seconds a step and network of an epoch of a population."""
    from tidewright.training.population_loop import Crew

    crew = Crew(networks, courses, draws=draws)
    steps = count_steps(courses[0])

    def run() -> float:
        started = time.process_time()
        crew.run_epoch(crew.plan_rates([()] * len(networks)))
        return (time.process_time() - started) / steps / len(networks)

    return run


def epochs_alone(network: Any, course: Any) -> Measure:
    """CPU seconds a step of an epoch of one network."""
    from tidewright.training.epoch import run_epoch
    from tidewright.training.learner import Learner
    from tidewright.training.losses import open_loss
    from tidewright.training.optimizers import open_optimizer

    learner = Learner(network, open_optimizer(course.train, network.parameters()), Generator().manual_seed(0))
    measure = open_loss(course.train.loss, network.shape.quantiles, complete=course.training.complete)
    steps = count_steps(course)

    def run() -> float:
        started = time.process_time()
        run_epoch(learner, course, measure=measure)
        return (time.process_time() - started) / steps

    return run


def count_steps(course: Any) -> int:
    """The steps of one epoch."""
    from tidewright.training.epoch import draw_batches

    return len(draw_batches(len(course.training), course.train, shuffle=Generator()))


def passes(name: str, kind: str) -> Measure:
    """CPU seconds of a forward and a backward pass of one network: of 16 grouped or under vmap, or of one alone."""
    from torch.func import functional_call, grad, stack_module_state, vmap

    from tidewright.models.torch.grouped import Group

    members, linear = 1 if kind == "alone" else 16, name in ("dlinear", "nlinear", "rlinear")
    networks, courses = panel_parts(name, {} if linear else {"dropout": 0.0}, members=members, batch=BATCH)
    inputs, labels = courses[0].training.batch(torch.arange(BATCH))
    window, levels = inputs["target"], torch.tensor(QUANTILES)

    def measure(core: Callable[..., Any], window: Any, labels: Any) -> Any:
        error = labels.unsqueeze(2) - core(window, torch.ones_like(window), None, None, None)
        return torch.maximum(levels * error, (levels - 1) * error).sum()

    if kind == "vmap":
        state = stack_module_state([network.core for network in networks])
        each = (window.expand(members, -1, -1).clone(), labels.expand(members, -1, -1).clone())
        core = networks[0].core

        def single(held: Any, buffers: Any, *part: Any) -> Any:
            return measure(lambda *given: functional_call(core, (held, buffers), given), *part)

        take = partial(vmap(grad(single)), *state, *each)
    else:
        network = Group(networks, draws=[Generator()] * members).network if kind == "grouped" else networks[0]
        rows, weights = (window.repeat(members, 1), labels.repeat(members, 1)), list(network.parameters())

        def take() -> Any:
            return torch.autograd.grad(measure(network.core, *rows), weights, allow_unused=True)

    def run() -> float:
        repeats = 40 if kind == "alone" else 10
        started = time.process_time()
        for _ in range(repeats):
            take()
        return (time.process_time() - started) / repeats / members

    return run


if __name__ == "__main__":
    main()
