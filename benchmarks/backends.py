"""Every backend over every network of the catalog: what starting costs, whether it answers alike, and how fast.

Each is opened by `tw.open(..., strict=True)`, gives the bundle's example, and is held to the network's own answers on
hard windows (holes, constants, huge and tiny values, batches of 1, 3 and 64). A line is one window against ONNX
Runtime, or against the network as it is. Networks are small (lookback 24, horizon 6). AOTInductor and torch.compile
take a minute and more each; what is in the file already is not done again.

    python benchmarks/backends.py [--backends torchscript aotinductor] [--networks lstm tft] [--out FILE]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from tell import add, make_line, open_parser

LOOKBACK, HORIZON = 24, 6
SMALL: dict[str, dict[str, Any]] = {
    "feedforward": {"hidden": (16,)},
    "lstm": {"hidden": 8, "head": (8,)},
    "transformer": {"d_model": 8, "num_encoder_layers": 1, "dim_feedforward": 16},
    "transformer_encoder": {"d_model": 8, "layers": 1, "dim_feedforward": 16, "head": (8,)},
    "adaptive_transformer": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "patchtst": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "itransformer": {"d_model": 8, "layers": 1, "dim_feedforward": 16},
    "tft": {"hidden": 8, "heads": 2},
}
LIMIT = 1e-5
PEERS = {"torchscript": "eager", "aotinductor": "onnxruntime", "compiled": "onnxruntime"}


def main() -> None:
    """Prints a line a network and backend."""
    from tidewright.inference.backends.catalog import BACKENDS
    from tidewright.models.spec import NETWORKS

    parser = open_parser(__doc__)
    parser.add_argument("--backends", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {json.loads(line)["name"] for line in lines}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}  # compiled anew
        for network in options.networks:
            wanted = [one for one in options.backends if f"{network} {one} vs {PEERS[one]}, one window" not in done]
            if not wanted:
                continue
            model, bundle = seal(network, Path(folder) / network)
            for backend in wanted:
                unfit = BACKENDS.load(backend).explain_unfit(bundle.manifest)
                if unfit:
                    print(f"{network} {backend}: {unfit}", file=sys.stderr)
                    continue
                add(compare(backend, model=model, bundle=bundle), out=options.out)


def seal(network: str, folder: Path) -> tuple[Any, Any]:
    """A network that learned a little, and its bundle."""
    import tidewright as tw
    from tidewright.data.simulate import signal_panel
    from tidewright.features.view import View

    panel, task = signal_panel(n_series=4, length=200, seed=0), tw.Task(HORIZON)
    spec, train = tw.build_spec(network, SMALL.get(network, {})), tw.TrainSpec(epochs=1, steps=5)
    split = tw.split_holdout(panel, task)
    model = tw.fit(spec, panel=panel, split=split, task=task, view=View(LOOKBACK), train=train)
    return model, tw.save_bundle(model, panel=panel, folder=folder)


def compare(backend: str, *, model: Any, bundle: Any) -> dict[str, Any]:
    """One backend over one network, beside its peer."""
    import tidewright as tw
    from tidewright.inference.timing import time_sessions

    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its own parts
        ours = tw.open(bundle, backend=backend, strict=True)
    seconds = time.perf_counter() - started
    apart = find_worst(ours, model, bundle.example()[0])
    assert apart <= LIMIT, (backend, bundle.name, apart)
    peer = PEERS[backend]
    theirs = tw.open(bundle, backend=peer, strict=True)
    found = time_sessions({"ours": ours, "theirs": theirs}, bundle, batch_sizes=(1, 64))
    many = f"batch 64: {found['ours'][1] * 1e6:.1f} and {found['theirs'][1] * 1e6:.1f} us"
    return make_line(
        f"{bundle.name} {backend} vs {peer}, one window",
        found["ours"][0] * 1e6,
        found["theirs"][0] * 1e6,
        unit="us",
        n=1,
        note=f"opened in {seconds:.1f} s; off by {apart:.1e} at most; {many}",
    )


def find_worst(session: Any, model: Any, real: Any) -> float:
    """The largest relative difference from the network on the example and on hard windows."""
    from tidewright.features.separate import to_windows
    from tidewright.registry.difference import relative_difference
    from tidewright.registry.trial_windows import hard_windows

    worst = 0.0
    for _, batch in (("example", real), *hard_windows(real)):
        eager = model.predict(to_windows(batch, horizon=HORIZON))
        worst = max(worst, relative_difference(session.predict(batch.target).quantiles, eager, target=batch.target))
    return worst


if __name__ == "__main__":
    main()
