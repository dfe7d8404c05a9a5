"""What KServe's own clients say of a service; run by a Python that has KServe, which this one must not have.

    python kserve_calls.py URL GRPC_ADDRESS FILE

FILE holds a JSON object: `columns` by name (`datatype` and `values`), `rows` as objects, `matrix` of the model iris. On stdout
comes one JSON object: by call, what it gave.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

KINDS = {"BYTES": np.object_, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


def columns(told, *, binary):
    found = []
    for name, one in told["columns"].items():
        values = np.array(one["values"], dtype=KINDS[one["datatype"]]).reshape(-1, 1)
        tensor = InferInput(name, list(values.shape), one["datatype"])
        tensor.set_data_from_numpy(values, binary_data=binary)
        found.append(tensor)
    return found


def matrix(told, *, binary):
    values = np.array(told["matrix"])
    tensor = InferInput("input", list(values.shape), "FP64")
    tensor.set_data_from_numpy(values, binary_data=binary)
    return [tensor]


def plain(answer):
    outputs = {one.name: one.as_numpy() for one in answer.outputs}
    return {
        "id": answer.id,
        "model": answer.model_name,
        "shapes": {name: list(values.shape) for name, values in outputs.items()},
        "outputs": {name: [text(one) for one in values.ravel().tolist()] for name, values in outputs.items()},
    }


def text(value):
    return value.decode() if isinstance(value, bytes) else value


async def refused(call):
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    except grpc.aio.AioRpcError as error:
        return [error.code().name, error.details()]
    raise AssertionError("it was answered")


async def v2(url, told):
    found = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        found["live"] = await client.is_server_live(url)
        found["ready"] = await client.is_server_ready(url)
        found["model ready"] = await client.is_model_ready(url, "iris")
        found["unknown model ready"] = await client.is_model_ready(url, "nothing")
        for binary in (True, False):
            how = "bytes" if binary else "JSON"
            request = InferRequest("iris", matrix(told, binary=binary), request_id="mine")
            found[f"matrix as {how}"] = plain(await client.infer(url, request, model_name="iris"))
            wanted = [RequestedOutput("probabilities", {"binary_data": binary})]
            request = InferRequest("customers", columns(told, binary=binary), request_outputs=wanted)
            found[f"columns as {how}"] = plain(await client.infer(url, request, model_name="customers"))
        request = InferRequest("iris", matrix(told, binary=True), parameters={"binary_data_output": True})
        headers = {}
        answer = await client.infer(url, request, model_name="iris", response_headers=headers)
        found["bytes for bytes"] = plain(answer)
        found["length told"] = "inference-header-content-length" in headers
        request = InferRequest("nothing", matrix(told, binary=False))
        found["refusal"] = await refused(client.infer(url, request, model_name="nothing"))
    return found


async def v1(url, told):
    found = {}
    async with InferenceRESTClient(RESTConfig(protocol="v1", retries=0)) as client:
        found["live"] = await client.is_server_live(url)
        found["model ready"] = await client.is_model_ready(url, "customers")
        found["unknown model ready"] = await refused(client.is_model_ready(url, "nothing"))
        body = {"instances": told["rows"]}
        found["instances"] = await client.infer(url, body, model_name="customers")
        graph = f"{url}/v1/models/customers:predict"
        found["graph"] = await client.infer(graph, body, is_graph_endpoint=True)
        wrong = {"instances": [{**told["rows"][0], "age": "old"}]}
        found["refusal"] = await refused(client.infer(url, wrong, model_name="customers"))
        found["explain"] = await refused(client.explain(url, "customers", body))
    return found


async def rpc(address, told):
    found = {}
    async with InferenceGRPCClient(address, retries=0) as client:
        found["live"] = await client.is_server_live()
        found["ready"] = await client.is_server_ready()
        found["model ready"] = await client.is_model_ready("iris")
        for binary in (True, False):
            how = "bytes" if binary else "contents"
            request = InferRequest("iris", matrix(told, binary=binary), request_id="mine")
            found[f"matrix as {how}"] = plain(await client.infer(request))
            found[f"columns as {how}"] = plain(
                await client.infer(InferRequest("customers", columns(told, binary=binary)))
            )
        found["refusal"] = await refused(client.infer(InferRequest("nothing", matrix(told, binary=True))))
        found["unknown model ready"] = await client.is_model_ready("nothing")
    return found


async def main(url, address, told):
    found = {"v2": await v2(url, told), "v1": await v1(url, told), "grpc": await rpc(address, told)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text())))
