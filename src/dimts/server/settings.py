"""[serve] of dimts.toml: address, limits, keys and sites of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dimts.base.errors import ConfigError
from dimts.base.http import LOCAL_HOSTS

_ORIGIN = re.compile(r"https?://[^/\s*]+")


@dataclass(frozen=True, slots=True)
class RayServeSettings:
    """[serve.ray]: how many copies of the server a Ray cluster runs (`dimts serve --ray`)."""

    min_replicas: int = 1
    """Copies that always run."""
    max_replicas: int = 1
    """Most copies under load; more than min_replicas enables autoscaling."""
    target_ongoing_requests: float = 4.0
    """Target number of concurrent requests per copy; more of them start another."""
    upscale_delay_seconds: float = 10.0
    """Seconds of overload before a copy is added."""
    downscale_delay_seconds: float = 300.0
    """Seconds of low load before a copy is removed."""
    cpus: float = 1.0
    """Cores that Ray reserves for a copy."""
    gpus: float = 0.0
    """GPUs that Ray reserves for a copy."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ConfigError(
                "server.ray_replicas", min_replicas=self.min_replicas, max_replicas=self.max_replicas
            )
        for name in ("target_ongoing_requests", "cpus"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    "server.setting_not_positive", name=f"ray.{name}", value=getattr(self, name)
                )
        for name in ("gpus", "upscale_delay_seconds", "downscale_delay_seconds"):
            if getattr(self, name) < 0:
                raise ConfigError("server.setting_negative", name=f"ray.{name}", value=getattr(self, name))


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """[serve]: speech over HTTP."""

    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own needs an API key file."""
    port: int = 8000
    """TCP port; 0: any that is free."""
    api_key_file: str = ""
    """File of API keys, a `name:key` a line, readable by you alone; empty: no keys."""
    voices_folder: str = ""
    """Folder of uploaded voices; empty: uploads are disabled."""
    slots: int = 8
    """Sentences decoded together in one loop. Each takes memory for its longest sentence (240 MB at the size
    of XTTS v2 in float32, 1 MB at the tiny size)."""
    queue: int = 32
    """Requests that may wait beyond the slots; the next one is answered with 429 and a time to retry."""
    places_per_key: int = 0
    """Concurrent requests of one API key; 0: half of all places."""
    requests_per_minute: int = 0
    """Requests of one API key a minute, the next ones are answered with 429; 0: no limit."""
    voices_per_key: int = 100
    """Uploaded voices of one API key."""
    max_letters: int = 20_000
    """Longest text of one request, in letters."""
    max_speech_seconds: float = 3600.0
    """Longest speech of one request in seconds; a longer text is refused."""
    max_read_seconds: float = 20.0
    """Time limit of a text for /v1/normalise or /v1/phones, in seconds."""
    max_body_megabytes: float = 1.0
    """Largest request without an upload."""
    max_upload_megabytes: float = 25.0
    """Largest uploaded recording."""
    max_reference_seconds: float = 120.0
    """Longest uploaded recording."""
    head_seconds: float = 10.0
    """Time limit for the head of a request, else its connection is closed."""
    body_seconds: float = 120.0
    """Time limit for the body of a request, else its connection is closed."""
    first_sound_seconds: float = 60.0
    """Time limit for the first audio of a request, else it is answered with 503."""
    request_seconds: float = 900.0
    """Time limit of a request, after which it is aborted."""
    stall_seconds: float = 30.0
    """Time after which a client that reads nothing of its answer is disconnected."""
    idle_seconds: float = 300.0
    """Time after which a WebSocket or Wyoming client that sends nothing is disconnected."""
    grace_seconds: float = 60.0
    """Time that running requests have after SIGTERM; then each ends after its current sentence."""
    torch_threads: int = 0
    """Threads of one matrix product; 0: half of the cores, so that decoding and vocoding run in parallel."""
    log_text: bool = False
    """Also write the spoken texts to the log."""
    model_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other names of models, besides OpenAI's; "" is the first model."""
    voice_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other names of voices, e.g. {alloy = "abebe"}; OpenAI's names by default mean the model's first
    voice."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may use this server from a browser (CORS), e.g. ["https://app.example"]; ["*"]:
    all."""
    xtts_api: bool = False
    """Also answer under the paths of xtts-api-server: /speakers, /tts_to_audio/, /tts_stream."""
    wyoming_port: int = 0
    """TCP port for the Wyoming protocol (Home Assistant), which has no keys; 0: off."""
    wyoming_host: str = "127.0.0.1"
    """Address to listen on for the Wyoming protocol."""
    ray: RayServeSettings = field(default_factory=RayServeSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("server.port_out_of_range", port=self.port)
        if not 0 <= self.wyoming_port <= 65535:
            raise ConfigError("server.port_out_of_range", port=self.wyoming_port)
        for name in ("slots", "max_letters"):
            if getattr(self, name) < 1:
                raise ConfigError("server.setting_below_one", name=name, value=getattr(self, name))
        for name in ("queue", "grace_seconds", "torch_threads", "places_per_key", "requests_per_minute",
                     "voices_per_key"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ConfigError("server.setting_negative", name=name, value=getattr(self, name))
        for name in (
            "max_body_megabytes",
            "max_upload_megabytes",
            "max_reference_seconds",
            "max_speech_seconds",
            "max_read_seconds",
            "head_seconds",
            "body_seconds",
            "first_sound_seconds",
            "request_seconds",
            "stall_seconds",
            "idle_seconds",
        ):
            if not getattr(self, name) > 0:
                raise ConfigError("server.setting_not_positive", name=name, value=getattr(self, name))
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigError("server.not_an_origin", origin=origin)
        if self.host not in LOCAL_HOSTS and not self.api_key_file:
            raise ConfigError("server.needs_key_file", host=self.host)

    @property
    def places(self) -> int:
        """Number of requests accepted at once."""
        return self.slots + self.queue

    @property
    def keys(self) -> Path | None:
        """Path of the key file, if there is one."""
        return Path(self.api_key_file) if self.api_key_file else None
