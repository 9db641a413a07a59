"""The server on a real Ray cluster of two nodes: copies on both, one address, the same sound."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import ConfigError
from dimts.server.cluster import NAME, PROXY_TIMEOUTS, start
from dimts.server.models import ModelSource
from dimts.server.settings import RayServeSettings, ServeSettings
from dimts.speak import SpeakSettings

httpx = pytest.importorskip("httpx")
ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # of Ray's own making
]
TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with two cores each, on this machine."""
    from ray.cluster_utils import Cluster

    for name, seconds in PROXY_TIMEOUTS.items():
        os.environ.setdefault(name, seconds)
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100_000_000})
    found.add_node(num_cpus=2, object_store_memory=100_000_000)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    from ray import serve

    serve.shutdown()
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def address(cluster: Any, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The deployment's address: two copies that need so many cores that each has a node to itself."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("abebe:0123456789abcdef\n", encoding="utf-8")
    keys.chmod(0o600)
    settings = ServeSettings(
        port=free_port(),
        api_key_file=str(keys),
        slots=2,
        queue=4,
        ray=RayServeSettings(min_replicas=2, max_replicas=2, cpus=1.5),
    )
    sources = [ModelSource(str(bundle), SpeakSettings()), ModelSource("formant", SpeakSettings())]
    return start(sources, settings)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def client(address: str) -> Any:
    return httpx.Client(
        base_url=address, timeout=120, trust_env=False, headers={"authorization": "Bearer 0123456789abcdef"}
    )


def test_both_nodes_speak_and_speak_alike(address: str) -> None:
    from ray import serve
    from ray.util import state

    body = {"input": TEXT, "response_format": "pcm", "seed": 4}

    def ask(_: int) -> bytes:
        with client(address) as asking:
            answer = asking.post("/v1/audio/speech", json=body)
            assert answer.status_code == 200, answer.text
            return bytes(answer.content)

    with ThreadPoolExecutor(4) as pool:
        heard = set(pool.map(ask, range(12)))
    assert len(heard) == 1
    assert len(heard.pop()) > 48_000
    assert serve.status().applications[NAME].deployments[NAME].replica_states == {"RUNNING": 2}
    copies = [
        actor
        for actor in state.list_actors(filters=[("state", "=", "ALIVE")])
        if "Copy" in actor.class_name or NAME in str(actor.name)
    ]
    assert len({actor.node_id for actor in copies}) == 2


def test_the_stream_comes_in_pieces_and_openai_hears_it(address: str) -> None:
    openai = pytest.importorskip("openai")
    asking = openai.OpenAI(base_url=f"{address}/v1", api_key="0123456789abcdef", max_retries=0)
    with asking.audio.speech.with_streaming_response.create(
        model="tiny", voice="sara", input=" ".join([TEXT] * 4), response_format="pcm"
    ) as answer:
        assert len(list(answer.iter_bytes())) > 3
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{address}/v1", api_key="no", max_retries=0).models.list()
    with pytest.raises(openai.BadRequestError):
        asking.audio.speech.create(model="tiny", voice="sara", input="hello")


def test_a_client_that_leaves_frees_its_place(address: str) -> None:
    with client(address) as asking:
        with asking.stream(
            "POST", "/v1/audio/speech", json={"input": (TEXT + " ") * 300, "response_format": "pcm"}
        ) as it:
            next(it.iter_raw(1000))
        for _ in range(200):
            found = [asking.get("/health").json()["requests"] for _ in range(6)]
            if not any(found):
                break
        assert not any(found)


def test_more_copies_than_cores_are_refused(cluster: Any, bundle: Path) -> None:
    settings = ServeSettings(ray=RayServeSettings(min_replicas=50, max_replicas=50))
    with pytest.raises(ConfigError, match="50 replicas need 50 cores"):
        start([ModelSource("formant", SpeakSettings())], settings)
