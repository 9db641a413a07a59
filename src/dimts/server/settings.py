"""[serve] of dimts.toml: where the server listens, its limits, and which keys and sites may use it."""

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
    """Copies that may run when there is much to do; more than min_replicas turns autoscaling on."""
    target_ongoing_requests: float = 4.0
    """Requests at once that one copy should have; more of them start another."""
    upscale_delay_seconds: float = 10.0
    """How long there must be too much to do before a copy is added."""
    downscale_delay_seconds: float = 300.0
    """How long there must be too little to do before a copy is taken away."""
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
    """0: any that is free."""
    api_key_file: str = ""
    """File of API keys, a `name:key` a line, readable by you alone; empty: no keys."""
    voices_folder: str = ""
    """Folder for uploaded voices; empty: none may be uploaded."""
    slots: int = 8
    """Sentences decoded together in one loop. Each takes memory for its longest sentence (240 MB at the size
    of XTTS v2 in float32, 1 MB at the tiny size)."""
    queue: int = 32
    """Requests that may wait beyond the slots; the next one is answered with 429 and a time to come back."""
    places_per_key: int = 0
    """Requests of one API key that are taken in at once; 0: half of all places."""
    requests_per_minute: int = 0
    """Requests of one API key a minute, the next ones are answered with 429; 0: no limit."""
    voices_per_key: int = 100
    """Voices that one API key may have uploaded."""
    max_letters: int = 20_000
    """Longest text of one request."""
    max_speech_seconds: float = 3600.0
    """Longest sound of one request; a text that would be longer is refused."""
    max_read_seconds: float = 20.0
    """A text for /v1/normalise or /v1/phones that takes longer is given up."""
    max_body_megabytes: float = 1.0
    """Largest request, but for uploads."""
    max_upload_megabytes: float = 25.0
    """Largest uploaded recording."""
    max_reference_seconds: float = 120.0
    """Longest uploaded recording."""
    head_seconds: float = 10.0
    """The head of a request must have come by then, else its connection is closed."""
    body_seconds: float = 120.0
    """The body of a request must have come by then, else its connection is closed."""
    first_sound_seconds: float = 60.0
    """A request without a sound by then is given up with 503."""
    request_seconds: float = 900.0
    """A request that takes longer is broken off."""
    stall_seconds: float = 30.0
    """A client that takes nothing of its answer for this long is cut off, and its place is free."""
    idle_seconds: float = 300.0
    """A WebSocket or Wyoming client that sends nothing for this long is cut off."""
    grace_seconds: float = 60.0
    """After SIGTERM requests may go on for this long; then each ends with the sentence it is saying."""
    torch_threads: int = 0
    """Threads of one matrix product; 0: half of the cores, so that sentences and sound are made side by
    side."""
    log_text: bool = False
    """Also write the texts that are spoken to the log."""
    model_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other names of models, beside those of OpenAI's; "" is the first that is served."""
    voice_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other names of voices, e.g. {alloy = "abebe"}; OpenAI's names else mean the model's first voice."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may use this server from a browser (CORS), e.g. ["https://app.example"]; ["*"]:
    all."""
    xtts_api: bool = False
    """Also answer under the paths of xtts-api-server: /speakers, /tts_to_audio/, /tts_stream."""
    wyoming_port: int = 0
    """TCP port for the Wyoming protocol (Home Assistant), which knows no keys; 0: off."""
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
        """Requests that are taken in at once."""
        return self.slots + self.queue

    @property
    def keys(self) -> Path | None:
        """The key file, if there is one."""
        return Path(self.api_key_file) if self.api_key_file else None
