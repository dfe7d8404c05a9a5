"""The gRPC port of the real service, asked by Triton's own client, sync and async; the answers are scikit-learn's own."""

import asyncio
import json
import os
import queue
import shutil
import signal
import time

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tensor_models import iris
from tritonclient.grpc import aio as aioclient
from tritonclient.utils import InferenceServerException

import fairlead
from running import cli, free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    """Two gateway processes that share both ports."""
    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("grpc") / "home")
    model, table = iris()
    fairlead.pack(model, name="iris", data=table, target="target", home=home)
    cli(home, "deploy", "flights:1")
    cli(home, "deploy", "iris:1")
    port = free_port()
    with serving(home, "--grpc-port", str(port), workers=2) as running:
        yield running, port


@pytest.fixture(scope="module")
def address(service):
    return f"127.0.0.1:{service[1]}"


@pytest.fixture
def client(address):
    with grpcclient.InferenceServerClient(address) as found:
        yield found


def tensors(rows, client=grpcclient):
    """A row's entries as a client that knows the table's columns sends them."""
    kinds = {str: "BYTES", int: "INT64", float: "FP64"}
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        kind = next((kinds[type(one)] for one in values if one is not None), "FP64")
        kind = "FP64" if name in {"temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"} else kind
        if kind == "BYTES":
            array = np.array([(one or "").encode() for one in values], dtype=np.object_)
        elif kind == "INT64":
            array = np.array(values, dtype=np.int64)
        else:
            array = np.array([np.nan if one is None else one for one in values], dtype=np.float64)
        tensor = client.InferInput(name, [len(values), 1], kind)
        tensor.set_data_from_numpy(array.reshape(-1, 1))
        found.append(tensor)
    return found


def late(result):
    """The column of `probabilities` that says late: the classes stand in alphabetic order, as in scikit-learn."""
    return result.as_numpy("probabilities")[:, 0]


def refused(code, call, *arguments, **more):
    with pytest.raises(InferenceServerException) as caught:
        call(*arguments, **more)
    assert caught.value.status() == f"StatusCode.{code}", caught.value
    return caught.value.message()


# -- health and metadata


def test_the_server_lives_and_is_ready_and_so_are_its_models(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flights")
    assert client.is_model_ready("flights", "1")
    assert not client.is_model_ready("flights", "2")
    assert not client.is_model_ready("nothing")


def test_the_server_says_what_it_is_and_can(client):
    found = client.get_server_metadata()
    assert (found.name, found.version) == ("fairlead", fairlead.__version__)
    assert set(found.extensions) >= {"binary_tensor_data", "model_repository", "statistics", "model_configuration"}


def test_the_metadata_has_a_tensor_for_each_column_of_the_training_table(client, april_rows):
    found = client.get_model_metadata("flights", as_json=True)
    assert [one["name"] for one in found["inputs"]] == list(april_rows[0])
    assert found["versions"] == ["1"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in found["outputs"]] == [
        ("prediction", "BYTES", ["-1", "1"]),
        ("probabilities", "FP64", ["-1", "2"]),
        ("id", "BYTES", ["-1", "1"]),
    ]


def test_the_configuration_names_the_same_tensors_without_their_batch(client):
    config = client.get_model_config("iris", as_json=True)["config"]
    assert [(one["name"], one["data_type"], one["dims"]) for one in config["input"]] == [
        *((name, "TYPE_FP64", ["1"]) for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")),
        ("input", "TYPE_FP64", ["4"]),
    ]
    assert config["max_batch_size"] == 10_000
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}


def test_the_index_lists_what_is_live(client):
    found = client.get_model_repository_index(as_json=True)
    assert found["models"] == [
        {"name": "flights", "version": "1", "state": "READY"},
        {"name": "iris", "version": "1", "state": "READY"},
    ]


def test_loading_and_unloading_are_the_operators(client):
    refused("PERMISSION_DENIED", client.load_model, "flights")  # here no token was ever created
    refused("PERMISSION_DENIED", client.unload_model, "flights")


def test_what_we_do_not_do_is_unimplemented(client):
    refused("UNIMPLEMENTED", client.get_system_shared_memory_status)
    refused("UNIMPLEMENTED", client.get_trace_settings)
    refused("UNIMPLEMENTED", client.get_log_settings)


# -- infer


def test_a_thousand_rows_get_scikit_learns_answers(client, april_rows, late_probabilities):
    found = client.infer("flights", tensors(april_rows), request_id="thousand")
    np.testing.assert_allclose(late(found), late_probabilities["flights:1"], rtol=0, atol=1e-6)
    said = [one.decode() for one in found.as_numpy("prediction")[:, 0]]
    assert said == ["late" if chance > 0.5 else "on time" for chance in late_probabilities["flights:1"]]
    assert len(set(found.as_numpy("id")[:, 0])) == 1000
    reply = found.get_response()
    assert (reply.id, reply.model_name, reply.model_version) == ("thousand", "flights", "1")


def test_rows_one_by_one_get_scikit_learns_answers_too(client, april_rows, late_probabilities):
    found = [late(client.infer("flights", tensors([row])))[0] for row in april_rows[:60]]
    np.testing.assert_allclose(found, late_probabilities["flights:1"][:60], rtol=0, atol=1e-6)


def test_a_matrix_of_numbers_gets_the_integer_labels_of_its_model(client):
    model, table = iris()
    rows = table.drop(columns="target").to_numpy()
    for kind in (np.float64, np.float32):
        matrix = grpcclient.InferInput("input", rows.shape, "FP64" if kind is np.float64 else "FP32")
        matrix.set_data_from_numpy(rows.astype(kind))
        found = client.infer("iris", [matrix])
        expected = model.predict(table.drop(columns="target").astype(kind).astype(np.float64))
        np.testing.assert_array_equal(found.as_numpy("prediction")[:, 0], expected)


def test_outputs_come_as_they_were_asked_for(client, april_rows):
    wanted = [grpcclient.InferRequestedOutput(name) for name in ("id", "probabilities")]
    found = client.infer("flights", tensors(april_rows[:1]), outputs=wanted, model_version="1")
    assert [one.name for one in found.get_response().outputs] == ["id", "probabilities"]
    assert found.as_numpy("prediction") is None


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_calls_are_answered(client, april_rows, late_probabilities, algorithm):
    found = client.infer("flights", tensors(april_rows[:50]), compression_algorithm=algorithm)
    np.testing.assert_allclose(late(found), late_probabilities["flights:1"][:50], rtol=0, atol=1e-6)


def test_an_asynchronous_call_is_answered(client, april_rows, late_probabilities):
    answers = queue.Queue()
    client.async_infer("flights", tensors(april_rows[:1]), lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=10)
    assert error is None
    assert late(result)[0] == pytest.approx(late_probabilities["flights:1"][0], abs=1e-6)


def test_statistics_count_what_was_answered_and_refused(client, april_rows):
    def counted():
        found = client.get_inference_statistics("flights", as_json=True)["model_stats"][0]
        stats = found["inference_stats"]
        fails = int(stats["fail"].get("count", 0))
        return int(found.get("inference_count", 0)), int(stats["success"].get("count", 0)), fails

    rows, good, bad = counted()  # of the one process that this client is connected to
    client.infer("flights", tensors(april_rows[:7]))
    refused("INVALID_ARGUMENT", client.infer, "flights", tensors(april_rows[:1])[1:])
    assert counted() == (rows + 7, good + 1, bad + 1)
    assert {one["name"] for one in client.get_inference_statistics(as_json=True)["model_stats"]} == {"flights", "iris"}


# -- mistakes


def test_a_mistake_is_told_by_its_name(client, april_rows):
    refused("NOT_FOUND", client.infer, "nothing", tensors(april_rows[:1]))
    assert "is not live" in refused("NOT_FOUND", client.infer, "flights", tensors(april_rows[:1]), model_version="9")
    assert "'carrier'" in refused("INVALID_ARGUMENT", client.infer, "flights", tensors(april_rows[:1])[1:])
    unknown = [grpcclient.InferRequestedOutput("colour")]
    refused("INVALID_ARGUMENT", client.infer, "flights", tensors(april_rows[:1]), outputs=unknown)
    refused("INVALID_ARGUMENT", client.infer, "flights", [])


def test_more_rows_than_one_call_may_hold_are_refused(client):
    rows = np.zeros((10_001, 4))
    matrix = grpcclient.InferInput("input", rows.shape, "FP64")
    matrix.set_data_from_numpy(rows)
    assert "10000" in refused("INVALID_ARGUMENT", client.infer, "iris", [matrix])


# -- streams


def test_a_stream_answers_in_order_and_goes_on_after_a_mistake(client, april_rows, late_probabilities):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(20):
        rows = tensors(april_rows[number : number + 1])
        client.async_stream_infer("flights", rows[1:] if number == 7 else rows, request_id=str(number))
    found = [answers.get(timeout=10) for _ in range(20)]
    client.stop_stream()
    assert "'carrier'" in str(found[7][1])
    good = [number for number in range(20) if number != 7]
    assert all(found[number][1] is None for number in good)
    assert [found[number][0].get_response().id for number in good] == [str(number) for number in good]
    chances = [late(found[number][0])[0] for number in good]
    np.testing.assert_allclose(chances, late_probabilities["flights:1"][good], rtol=0, atol=1e-6)


def test_a_stream_says_which_answer_is_the_last_where_it_was_asked_to(client, april_rows):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("flights", tensors(april_rows[:1]), enable_empty_final_response=True)
    result, error = answers.get(timeout=10)
    client.stop_stream()
    assert error is None
    assert result.get_response().parameters["triton_final_response"].bool_param


# -- the asynchronous client


async def every_call(address, rows, expected):
    async with aioclient.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("flights")
        assert (await client.get_server_metadata()).name == "fairlead"
        assert (await client.get_model_metadata("flights")).name == "flights"
        assert (await client.get_model_config("flights")).config.name == "flights"
        assert len((await client.get_model_repository_index()).models) == 2
        assert (await client.get_inference_statistics("flights")).model_stats[0].name == "flights"
        found = await asyncio.gather(*(client.infer("flights", tensors([row], aioclient)) for row in rows))
        np.testing.assert_allclose([late(one)[0] for one in found], expected, rtol=0, atol=1e-6)
        with pytest.raises(InferenceServerException, match="no endpoint"):
            await client.infer("nothing", tensors(rows[:1], aioclient))

        async def asked():
            for row in rows[:5]:
                yield {"model_name": "flights", "inputs": tensors([row], aioclient)}

        streamed = [(result, error) async for result, error in client.stream_infer(asked())]
        assert [error for _, error in streamed] == [None] * 5
        np.testing.assert_allclose([late(one)[0] for one, _ in streamed], expected[:5], rtol=0, atol=1e-6)


def test_every_call_of_the_asynchronous_client_is_answered(address, april_rows, late_probabilities):
    asyncio.run(asyncio.wait_for(every_call(address, april_rows[:100], late_probabilities["flights:1"][:100]), 30))


# -- processes


def test_both_gateways_answer_on_the_port(service, address, april_rows):
    running, _ = service
    before = answered(running)
    for _ in range(24):  # the kernel chooses a process for each connection
        with grpcclient.InferenceServerClient(address, channel_args=[("grpc.use_local_subchannel_pool", 1)]) as client:
            client.infer("flights", tensors(april_rows[:1]))
    running.wait_for(lambda: all(now > then for then, now in zip(before, answered(running), strict=True)), 10)


def answered(running):
    from fairlead.serving.processes.status import read_statuses

    return [one.answered for one in sorted(read_statuses(running.home / "run"), key=lambda one: one.name)]


def test_a_new_version_answers_without_a_restart(service, client, april_rows, late_probabilities):
    running, _ = service
    cli(running.home, "deploy", "flights:2")
    try:
        found = client.infer("flights", tensors(april_rows[:20]), model_version="2")
        np.testing.assert_allclose(late(found), late_probabilities["flights:2"][:20], rtol=0, atol=1e-6)
    finally:
        cli(running.home, "deploy", "flights:1")


def test_the_service_stops_at_once_though_a_stream_is_open(home):
    cli(home, "deploy", "flights:1")
    port = free_port()
    with serving(home, "--grpc-port", str(port)) as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{port}")
        answers = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        assert client.is_server_ready()
        begun = time.monotonic()
        os.kill(running.process.pid, signal.SIGTERM)
        _, error = answers.get(timeout=15)
        assert "stopping" in str(error)
        assert running.process.wait(15) == 0
        assert time.monotonic() - begun < 10
        client.close()


def test_who_may_deploy_loads_and_unloads_with_the_same_client(home):
    port = free_port()
    told = json.loads(
        cli(home, "token", "create", "operator", "--scope", "deploy", "--scope", "predict", "--json").stdout
    )
    held = {"authorization": f"Bearer {told['token']}"}
    with serving(home, "--grpc-port", str(port)), grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
        refused("UNAUTHENTICATED", client.load_model, "flights")
        client.load_model("flights", headers=held)
        assert client.is_model_ready("flights", "2", headers=held)
        client.unload_model("flights", headers=held)
        assert not client.is_model_ready("flights", headers=held)
        refused("NOT_FOUND", client.load_model, "nothing", headers=held)
