"""`fairlead deploy` under load: nobody sees a failure, and no answer mixes two versions."""

import shutil

import pytest

from running import Background, cli, post, serving, start

pytestmark = pytest.mark.slow


def service_of(packed_home, tmp_path):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    return home


@pytest.mark.timeout(300)
def test_fifty_swaps_under_load_fail_no_request_and_mix_no_answer(
    packed_home, tmp_path, april_bodies, late_probabilities
):
    from fairlead.app import open_stores
    from fairlead.config import load_config
    from fairlead.rollout.direct import deploy
    from fairlead.service import wait_for_gateways

    home = service_of(packed_home, tmp_path)
    config = load_config({"home": str(home)})
    stores = open_stores(config)
    with serving(home, workers=2) as service:
        with Background(service.port, april_bodies, connections=16) as found:
            for number in range(50):
                ref = f"flights:{2 - number % 2}"
                revision = deploy(stores.database, stores.blobs, ref, actor="test").table.revision
                assert len(wait_for_gateways(config, stores, revision, 30)) == 2
        assert found.failures == []
        assert len(found.answers) > 1000
        assert {answer["model"] for _, answer in found.answers} == {"flights:1", "flights:2"}
        for number, answer in found.answers:
            # scikit-learn's own probability, of the very version that the answer names
            expected = late_probabilities[answer["model"]][number]
            assert abs(answer["probabilities"]["late"] - expected) <= 1e-6
            assert answer["prediction"] == ("late" if expected > 0.5 else "on time")


def test_deploy_takes_effect_on_every_gateway_before_it_returns(packed_home, tmp_path, april_bodies):
    home = service_of(packed_home, tmp_path)
    with serving(home, workers=2) as service:
        said = cli(home, "deploy", "flights:2")
        assert "2 gateways serve revision 2" in said.stderr
        with Background(service.port, april_bodies, connections=8) as found:
            service.wait_for(lambda: len(found.answers) > 200)
        assert {answer["model"] for _, answer in found.answers} == {"flights:2"}


def test_a_corrupt_blob_is_named_refused_and_leaves_what_is_live(packed_home, tmp_path, april_bodies):
    from fairlead.app import open_stores
    from fairlead.bundle.store import stored_manifest
    from fairlead.config import load_config
    from fairlead.registry.registry import resolve

    home = service_of(packed_home, tmp_path)
    stores = open_stores(load_config({"home": str(home)}))
    manifest = stored_manifest(resolve(stores.database, "flights:2").digest, stores.blobs)
    graph = next(one for one in manifest.files if one.path == "compiled/graph.onnx")
    (blob,) = [
        path for path in (home / "blobs").rglob("*") if path.is_file() and graph.sha256 in str(path).replace("/", "")
    ]
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    with serving(home) as service, Background(service.port, april_bodies, connections=4) as found:
        verified = cli(home, "verify", "flights:2", check=False)
        assert verified.returncode == 5
        assert graph.sha256 in verified.stdout + verified.stderr
        deployed = cli(home, "deploy", "flights:2", check=False)
        assert deployed.returncode == 5
        assert graph.sha256[:12] in deployed.stderr
        service.wait_for(lambda: len(found.answers) > 100)
    assert found.failures == []
    assert {answer["model"] for _, answer in found.answers} == {"flights:1"}


def test_a_service_starts_and_serves_with_its_database_and_blobs_gone(packed_home, tmp_path, april_bodies):
    home = service_of(packed_home, tmp_path)
    shutil.rmtree(home / "blobs")
    (home / "fairlead.db").unlink()
    (home / "fairlead.db").mkdir()  # so that nothing can be opened or made there
    with serving(home) as service, Background(service.port, april_bodies, connections=4) as found:
        service.wait_for(lambda: len(found.answers) > 100)
    assert found.failures == []


def test_a_gateway_is_not_asked_before_it_has_loaded(packed_home, tmp_path, april_bodies):
    from fairlead.app import open_stores
    from fairlead.config import load_config
    from fairlead.rollout.direct import deploy

    home = shutil.copytree(packed_home, tmp_path / "home")
    stores = open_stores(load_config({"home": str(home)}))
    deploy(stores.database, stores.blobs, "flights:1", actor="test")  # and nothing is delivered to this machine yet
    service = start(home, workers=2)
    try:
        first = service.wait_for(lambda: post(service.port, "/predict/flights", april_bodies[0]))
        statuses = [first[0], *(post(service.port, "/predict/flights", april_bodies[0])[0] for _ in range(30))]
        assert statuses == [200] * 31
    finally:
        assert service.stop() == 0
