"""Every call of Triton's four clients, http and grpc, sync and aio, on one service; the truth is scikit-learn's.

The list of calls is the clients' own: one that a newer client brings fails here until somebody has decided what we do with it.
"""

from __future__ import annotations

import asyncio
import inspect
import queue

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.grpc.auth
import tritonclient.http
import tritonclient.http.aio
import tritonclient.http.auth
from tensor_models import floats, iris
from tritonclient.utils import InferenceServerException

import fairlead
from running import cli, free_port, serving

pytestmark = pytest.mark.slow

CLIENTS = {
    "http": tritonclient.http,
    "http.aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc.aio": tritonclient.grpc.aio,
}
HERE = {"close", "plugin", "register_plugin", "unregister_plugin", "generate_request_body", "parse_response_body"}
"""What asks nobody."""

TOLD = {
    "is_server_live",
    "is_server_ready",
    "is_model_ready",
    "get_server_metadata",
    "get_model_metadata",
    "get_model_config",
    "get_inference_statistics",
    "get_model_repository_index",
}
CHANGING = {"load_model", "unload_model"}
ASKED = {"infer", "async_infer", "stream_infer", "start_stream", "async_stream_infer", "stop_stream"}
NOT_SERVED = {
    "get_trace_settings": (),
    "update_trace_settings": (),
    "get_log_settings": (),
    "update_log_settings": ({},),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("region", "/key", 64),
    "unregister_system_shared_memory": (),
    "get_cuda_shared_memory_status": (),
    "register_cuda_shared_memory": ("region", b"aGFuZGxl", 0, 64),
    "unregister_cuda_shared_memory": (),
}


@pytest.fixture(scope="module")
def model():
    pipeline, table = iris()
    return pipeline, table.drop(columns="target").iloc[::10], table


@pytest.fixture(scope="module")
def service(model, tmp_path_factory):
    """Two versions of the same pipeline, tokens, and both ports."""
    home = tmp_path_factory.mktemp("triton") / "home"
    for _ in range(2):
        fairlead.pack(model[0], name="iris", data=model[2], target="target", home=home)
    cli(home, "deploy", "iris:1")
    tokens = {
        scope: cli(home, "token", "create", scope, *scopes).stdout.strip()
        for scope, scopes in {
            "predict": ("--scope", "predict"),
            "deploy": ("--scope", "predict", "--scope", "deploy"),
        }.items()
    }
    port = free_port()
    with serving(home, "--grpc-port", str(port)) as running:
        yield {"http": f"127.0.0.1:{running.port}", "grpc": f"127.0.0.1:{port}", **tokens}


class Caller:
    """One of the clients, with a token; sync or not, and with its answers as plain data."""

    def __init__(self, kind, client, token):
        self.kind, self.client, self.module = kind, client, CLIENTS[kind]
        self.headers = {"authorization": f"Bearer {token}"}

    async def __call__(self, name, *arguments, **more):
        call = getattr(self.client, name)
        if self.kind.startswith("grpc") and "as_json" in inspect.signature(call).parameters:
            more["as_json"] = True
        found = call(*arguments, headers=self.headers, **more)
        return await found if inspect.isawaitable(found) else found

    def tensors(self, frame):
        tensor = self.module.InferInput("input", list(frame.shape), "FP64")
        tensor.set_data_from_numpy(floats(frame))
        return [tensor]


def use(kind, service, scope, do):
    """Do something with a client of this kind."""

    async def run():
        client = CLIENTS[kind].InferenceServerClient(service[kind.partition(".")[0]])
        try:
            return await do(Caller(kind, client, service[scope]))
        finally:
            closed = client.close()
            if inspect.isawaitable(closed):
                await closed

    return asyncio.run(run())


@pytest.mark.parametrize("kind", CLIENTS)
def test_there_is_no_call_that_nobody_has_decided_on(kind):
    client = CLIENTS[kind].InferenceServerClient
    calls = {name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))}
    assert calls <= HERE | TOLD | CHANGING | ASKED | NOT_SERVED.keys()


@pytest.mark.parametrize("kind", CLIENTS)
def test_what_is_told_is_told(kind, service):
    async def ask(call):
        await call("load_model", "iris")
        assert await call("is_server_live")
        assert await call("is_server_ready")
        assert await call("is_model_ready", "iris", "2")
        assert not await call("is_model_ready", "iris", "1")
        assert (await call("get_server_metadata"))["name"] == "fairlead"
        metadata = await call("get_model_metadata", "iris")
        assert metadata["inputs"][-1]["name"] == "input"
        config = await call("get_model_config", "iris")
        assert config.get("config", config)["max_batch_size"] == 10_000
        assert (await call("get_inference_statistics", "iris"))["model_stats"][0]["version"] == "2"
        index = await call("get_model_repository_index")
        assert [one["state"] for one in (index["models"] if isinstance(index, dict) else index)] == ["READY"]

    use(kind, service, "deploy", ask)


@pytest.mark.parametrize("kind", CLIENTS)
def test_rows_are_answered_as_scikit_learn_answers_them_with_all_that_a_request_may_carry(kind, service, model):
    pipeline, frame, _ = model

    async def ask(call):
        await call("load_model", "iris")
        wanted = [call.module.InferRequestedOutput(name) for name in ("probabilities", "prediction")]
        more = {"request_id": "mine", "priority": 1, "timeout": 5_000_000, "parameters": {"note": "x", "beta": 0.5}}
        found = await call("infer", "iris", call.tensors(frame), model_version="2", outputs=wanted, **more)
        assert np.abs(found.as_numpy("probabilities") - pipeline.predict_proba(frame)).max() < 1e-6
        assert found.as_numpy("prediction").ravel().tolist() == pipeline.predict(frame).tolist()
        told = found.get_response(**({"as_json": True} if kind.startswith("grpc") else {}))
        assert (told["id"], told["model_name"], told["model_version"]) == ("mine", "iris", "2")
        assert found.get_output("prediction") is not None
        assert found.get_output("nothing") is None

    use(kind, service, "deploy", ask)


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_likeliest_classes_are_told_in_tritons_form(kind, service, model):
    # "<value>:<index>[:<label>]", from Triton's page on its classification extension.
    pipeline, frame, _ = model
    expected = pipeline.predict_proba(frame)

    async def ask(call):
        await call("load_model", "iris")
        wanted = [call.module.InferRequestedOutput("probabilities", class_count=2)]
        found = (await call("infer", "iris", call.tensors(frame), outputs=wanted)).as_numpy("probabilities")
        assert found.shape == (len(frame), 2)
        for row, chances in zip(found, expected, strict=True):
            for text, place in zip(row, np.argsort(-chances)[:2], strict=True):
                value, index, label = text.decode().split(":")
                assert float(value) == pytest.approx(chances[place], abs=1e-6)
                assert (int(index), label) == (place, str(pipeline.classes_[place]))
        wanted = [call.module.InferRequestedOutput("prediction", class_count=1)]
        with pytest.raises(InferenceServerException, match="cannot be given as 1 classes"):
            await call("infer", "iris", call.tensors(frame), outputs=wanted)

    use(kind, service, "deploy", ask)


@pytest.mark.parametrize("kind", CLIENTS)
def test_who_may_deploy_loads_and_unloads_and_others_do_not(kind, service):
    async def change(call):
        await call("load_model", "iris")
        await call("unload_model", "iris")
        assert not await call("is_model_ready", "iris")
        await call("load_model", "iris")
        assert await call("is_model_ready", "iris", "2")

    async def refused(call):
        for name in CHANGING:
            with pytest.raises(InferenceServerException, match="'deploy'"):
                await call(name, "iris")

    use(kind, service, "deploy", change)
    use(kind, service, "predict", refused)


@pytest.mark.parametrize("kind", CLIENTS)
def test_what_we_do_not_serve_is_refused_with_a_status(kind, service):
    async def ask(call):
        for name, arguments in NOT_SERVED.items():
            with pytest.raises(InferenceServerException) as caught:
                await call(name, *arguments)
            assert caught.value.status() == ("404" if kind.startswith("http") else "StatusCode.UNIMPLEMENTED"), name

    use(kind, service, "predict", ask)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_an_answer_that_is_not_waited_for_comes_and_a_stream_answers_in_order(kind, service, model):
    pipeline, frame, _ = model

    async def ask(call):
        await call("load_model", "iris")
        came = queue.Queue()
        done = {"callback": lambda result, error: came.put((result, error))} if kind == "grpc" else {}
        asked = call.client.async_infer("iris", call.tensors(frame), headers=call.headers, **done)
        found, error = came.get(timeout=60) if kind == "grpc" else (asked.get_result(timeout=60), None)
        assert error is None
        assert found.as_numpy("prediction").ravel().tolist() == pipeline.predict(frame).tolist()
        if kind == "grpc":
            call.client.start_stream(lambda result, error: came.put((result, error)), headers=call.headers)
            for number in range(3):
                call.client.async_stream_infer("iris", call.tensors(frame.iloc[number:]), request_id=str(number))
            ids = [came.get(timeout=60)[0].get_response().id for _ in range(3)]
            call.client.stop_stream()
            assert ids == ["0", "1", "2"]

    use(kind, service, "deploy", ask)


def test_the_clients_own_plugin_for_passwords_shows_the_token(service):
    for kind, module in (("http", tritonclient.http), ("grpc", tritonclient.grpc)):
        with module.InferenceServerClient(service[kind]) as client:
            with pytest.raises(InferenceServerException):
                client.get_model_repository_index()
            client.register_plugin(module.auth.BasicAuth("anybody", service["predict"]))
            assert client.plugin() is not None
            client.get_model_repository_index()
            client.unregister_plugin()
