"""A bundle's graph as a model of Triton's ONNX backend (and of KServe, which runs it): model.onnx and config.pbtxt.

The engine checks neither values nor the example, as a session does: it runs the graph. H horizon, Q quantiles.
"""

from __future__ import annotations

from pathlib import Path

from tidewright.checks import check_flag, check_whole, to_path
from tidewright.errors import BundleError
from tidewright.registry.bundle import Bundle, check_name, load_bundle
from tidewright.registry.graph_names import name_output
from tidewright.registry.verify import GRAPH, MANIFEST
from tidewright.registry.write import write_folder

CONFIG, DIGEST = "config.pbtxt", "digest.txt"


def write_triton(
    bundle: Bundle | str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    version: int = 1,
    max_batch_size: int = 64,
    gpu: bool = False,
) -> Path:
    """Writes REPOSITORY/NAME/config.pbtxt and REPOSITORY/NAME/VERSION/model.onnx; gives the model's folder.

    `name` is the bundle's where it is left out. The version appears in one step, and holds the bundle's digest beside
    the graph. Batches of concurrent requests are made by Triton, up to `max_batch_size` windows. Raises `BundleError`
    for a model without a graph, a version that is there already, and one whose inputs or options differ from the
    versions that are there, and `ConfigError`.
    """
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    called = opened.name if name is None else check_name(name, what="a model's name")
    check_flag("gpu", gpu)
    for word, value in (("version", version), ("max_batch_size", max_batch_size)):
        check_whole(word, value)
    graph, folder = opened.graph, to_path("repository", repository, of="a folder of Triton's models") / called
    if (folder / MANIFEST).exists():
        raise BundleError(f"'{folder}' is a bundle, and nothing is written into it. Give another folder.")
    text = describe_triton(opened, name=called, max_batch_size=max_batch_size, gpu=gpu)
    _check_config(folder / CONFIG, text)
    if (folder / str(version)).exists():
        raise BundleError(f"'{folder / str(version)}' exists already. Give another version, or delete that folder.")
    write_folder({GRAPH: graph, DIGEST: f"{opened.digest}\n".encode()}, folder / str(version))
    (folder / CONFIG).write_text(text)
    return folder


def describe_triton(bundle: Bundle, *, name: str, max_batch_size: int, gpu: bool) -> str:
    """The config of a model, in the text form of Triton's ModelConfig; the axis of windows is Triton's own."""
    manifest, task = bundle.manifest, bundle.manifest.task
    widths = manifest.widths
    lookback, known = manifest.view.lookback, manifest.view.lookback + task.horizon
    if manifest.lengths is not None:
        lookback = known = -1
    shapes = {
        "target": [lookback],
        "past": [lookback, widths.past],
        "known": [known, widths.known],
        "static": [widths.static],
    }
    inputs = "\n".join(_tensor("input", each, shapes[each]) for each in widths.inputs)
    output = _tensor("output", name_output(task), [task.horizon, task.width])
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
{inputs}
{output}
instance_group {{ count: 1 kind: {"KIND_GPU" if gpu else "KIND_CPU"} }}
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
"""


def _tensor(kind: str, name: str, shape: list[int]) -> str:
    sizes = ", ".join(map(str, shape))
    return f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: [ {sizes} ] }}'


def _check_config(file: Path, text: str) -> None:
    """All versions of a model share one config."""
    if file.exists() and file.read_text() != text:
        raise BundleError(
            f"'{file}' is of a model with other inputs or options, and all versions share it. Give another name."
        )
