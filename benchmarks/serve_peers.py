"""The other servers of `serve.py`, each over the same graph; run in their own environment.

python serve_peers.py fastapi|litserve GRAPH PORT        # MLServer takes `Mlp` from here by its settings
"""

import sys
from typing import Any

import numpy as np
import onnxruntime


def open_graph(place: str) -> onnxruntime.InferenceSession:
    """The graph on one thread, as ours."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(place, options, providers=["CPUExecutionProvider"])


def serve_fastapi(graph: str, port: int) -> None:
    """FastAPI with pydantic's models of the protocol, uvicorn with httptools and uvloop."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[float]

    class Asked(BaseModel):
        inputs: list[Tensor]

    class Answer(BaseModel):
        model_name: str
        outputs: list[Tensor]

    app, session = FastAPI(), open_graph(graph)

    @app.post("/v2/models/mlp/infer")
    async def infer(asked: Asked) -> Answer:
        given = asked.inputs[0]
        rows = np.array(given.data, np.float32).reshape(given.shape)
        found = session.run(["quantiles"], {"target": rows})[0]
        told = Tensor(name="quantiles", shape=list(found.shape), datatype="FP32", data=found.reshape(-1).tolist())
        return Answer(model_name="mlp", outputs=[told])

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


try:
    import litserve

    class Api(litserve.LitAPI):  # type: ignore[misc]
        """LitServe's model of the graph; its workers are other processes, which import it."""

        def setup(self, device: str) -> None:
            self.session = open_graph(sys.argv[2])

        def decode_request(self, request):
            given = request["inputs"][0]
            return np.array(given["data"], np.float32).reshape(given["shape"])

        def predict(self, x: Any) -> Any:
            return self.session.run(["quantiles"], {"target": x})[0]

        def encode_response(self, output: Any) -> dict[str, Any]:
            told = {"name": "quantiles", "shape": list(output.shape), "datatype": "FP32"}
            return {"model_name": "mlp", "outputs": [{**told, "data": output.reshape(-1).tolist()}]}

except ImportError:
    pass


def serve_litserve(graph: str, port: int) -> None:
    """LitServe with one worker, its defaults else."""
    server = litserve.LitServer(Api(api_path="/v2/models/mlp/infer"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


try:
    from mlserver import MLModel
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceRequest, InferenceResponse
except ImportError:
    MLModel = None  # type: ignore[misc, assignment]

if MLModel is not None:

    class Mlp(MLModel):  # type: ignore[misc]
        """MLServer's model of the graph."""

        async def load(self) -> bool:
            self.session = open_graph(self.settings.parameters.uri)
            return True

        async def predict(self, payload: InferenceRequest) -> InferenceResponse:
            rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
            found = self.session.run(["quantiles"], {"target": rows})[0]
            output = NumpyCodec.encode_output("quantiles", found)
            return InferenceResponse(model_name=self.name, outputs=[output])


if __name__ == "__main__":
    {"fastapi": serve_fastapi, "litserve": serve_litserve}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
