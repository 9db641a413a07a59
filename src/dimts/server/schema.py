"""Bodies of requests and answers: OpenAI's interface, and the additions of dimts."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dimts.speak.consent import MAX_CONSENT_LETTERS, MIN_CONSENT_LETTERS

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
LARGEST_SEED = 2**63 - 1


HARMLESS = frozenset({"user", "language", "lang_code", "instructions", "metadata", "extra_body"})
"""Fields that clients send and that have no effect."""
AMHARIC = frozenset({"", "am", "amh", "am-et", "am_et", "amharic", "auto"})
"""Values of `language` and `lang_code` that mean Amharic."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class VoiceId(_Strict):
    """A voice by its id."""

    id: str = Field(max_length=200, description="As /v1/voices lists it.", examples=["voice_9f2c"])


class SpeechRequest(BaseModel):
    """A text to be spoken.

    null counts as left out. A field that is not known is accepted, and X-Dimts-Note says that it has no
    effect, unless its name looks like a known one misspelt.
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    input: str = Field(
        min_length=1, description="Amharic text, or the SSML subset of dimts.", examples=["ሰላም ለዓለም።"]
    )
    model: str = Field(
        "", max_length=200, description="One of /v1/models; empty: the first.", examples=["formant"]
    )
    voice: str | VoiceId = Field(
        "", description="Name or {id} of one of /v1/voices; empty: the model's first.", examples=["default"]
    )
    response_format: Format = Field("mp3", description="pcm is 24 kHz, 16 bit, mono, little-endian.")
    speed: float = Field(
        1.0,
        ge=0.25,
        le=4.0,
        description="Tempo; the pitch stays. X-Dimts-Note names the tempo used where a voice cannot be as "
        "slow or as fast.",
    )
    instructions: str | None = Field(None, description="Accepted, without effect.")
    language: str | None = Field(None, description="Accepted, without effect: everything is read as Amharic.")
    stream_format: Literal["audio", "sse"] = Field("audio", description="sse: events with base64 pieces.")
    stream: bool = Field(
        True,
        description=(
            "true: sound as it is made. false: whole, with its length; a phrase that failed is spoken again."
        ),
    )
    seed: int | None = Field(
        None, ge=0, le=LARGEST_SEED, description="Same seed, same sound; X-Dimts-Seed says which was used."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = {name: value for name, value in data.items() if value is not None}
        for name in data.keys() - cls.model_fields.keys() - HARMLESS:
            if close := difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.75):
                shown = name.encode(
                    "utf-8", "replace"
                ).decode()  # pydantic cannot render half a surrogate pair
                raise PydanticCustomError("unknown_field", close[0], {"field": shown, "nearest": close[0]})
        return data

    def without_effect(self) -> list[str]:
        """Names of the fields of this request without effect, sorted."""
        given = dict(self.model_extra or {})
        given |= {"instructions": self.instructions or "", "language": self.language or ""}
        languages = ("language", "lang_code")
        return sorted(
            name for name, value in given.items()
            if value not in ("", {}, []) and not (name in languages and str(value).lower() in AMHARIC)
        )  # fmt: skip


class TextRequest(_Strict):
    """A text for the front end."""

    input: str = Field(min_length=1, description="Amharic text.", examples=["በ2017 ዓ.ም 10 ብር"])
    model: str = Field("", max_length=200, description="Model whose front end reads it; empty: the first.")


class NormalisedResponse(BaseModel):
    """A text in its spoken form."""

    object: Literal["normalised"] = "normalised"
    model: str
    text: str = Field(description="Every number, date and sign in words.")


class PhonesResponse(BaseModel):
    """A text in phones."""

    object: Literal["phones"] = "phones"
    model: str
    phones: str = Field(description='IPA by spaces, words by " # ", a line for each line of the text.')
    phrases: list[dict[str, Any]] = Field(
        description="Each phrase with its words, the backend that answered, and what was refused."
    )


class ModelObject(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "dimts"


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class VoiceRow(BaseModel):
    """A voice."""

    id: str
    object: Literal["voice"] = "voice"
    name: str
    model: str
    kind: Literal["built-in", "variant", "uploaded"]
    created: int | None = None
    consent: str | None = Field(
        default=None, description="How the speaker agreed, as it was given with the upload."
    )


class VoiceList(BaseModel):
    """All voices."""

    object: Literal["list"] = "list"
    data: list[VoiceRow]


class DeletedVoice(BaseModel):
    """A voice that was deleted."""

    id: str
    object: Literal["voice.deleted"] = "voice.deleted"
    deleted: bool = True


class Health(BaseModel):
    """State of the server."""

    status: Literal["ok", "stopping"]
    version: str
    models: list[str]
    requests: int = Field(description="Requests being spoken or waiting.")
    places: int = Field(description="Requests that are taken in at once.")
    slots: int = Field(description="Sentences that are decoded together.")
    speaking: dict[str, int] = Field(description="Sentences being decoded, by model.")
    waiting: dict[str, int] = Field(description="Sentences waiting to be decoded, by model.")
    repeatable: dict[str, bool] = Field(
        description="Whether a sentence is the same to the last bit whatever is decoded beside it."
    )


class Problem(BaseModel):
    """Description of an error."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The answer of every failure."""

    error: Problem


ConsentText = Annotated[
    str,
    Field(
        min_length=MIN_CONSENT_LETTERS, max_length=MAX_CONSENT_LETTERS, description="How the speaker agreed."
    ),
]
VoiceName = Annotated[str, Field(min_length=1, max_length=100, description="What to call the voice.")]
