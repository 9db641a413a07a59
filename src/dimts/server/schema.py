"""What requests and answers look like: the interface of OpenAI, and what ours adds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dimts.speak import FASTEST, SLOWEST

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
LARGEST_SEED = 2**63 - 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class VoiceId(_Strict):
    """A voice by its id."""

    id: str = Field(max_length=200, description="As /v1/voices lists it.", examples=["voice_9f2c"])


class SpeechRequest(_Strict):
    """A text to be spoken."""

    input: str = Field(min_length=1, description="Amharic text, or the SSML subset of dimts.", examples=["ሰላም ለዓለም።"])
    model: str = Field("", max_length=200, description="One of /v1/models; empty: the first.", examples=["formant"])
    voice: str | VoiceId = Field(
        "", description="Name or {id} of one of /v1/voices; empty: the model's first.", examples=["default"]
    )
    response_format: Format = Field("mp3", description="pcm is 24 kHz, 16 bit, mono, little-endian.")
    speed: float = Field(1.0, ge=SLOWEST, le=FASTEST, description="Tempo; the pitch stays.")
    instructions: str | None = Field(None, description="Accepted and ignored; X-Dimts-Note says so.")
    stream_format: Literal["audio", "sse"] = Field("audio", description="sse: events with base64 pieces.")
    stream: bool = Field(
        True,
        description="true: sound as it is made. false: whole, with its length; a phrase that failed is said again.",
    )
    seed: int | None = Field(
        None, ge=0, le=LARGEST_SEED, description="Same seed, same sound; X-Dimts-Seed says which was used."
    )


class TextRequest(_Strict):
    """A text to be read, not spoken."""

    input: str = Field(min_length=1, description="Amharic text.", examples=["በ2017 ዓ.ም 10 ብር"])
    model: str = Field("", max_length=200, description="Whose front end reads it; empty: that of the first model.")


class NormalisedResponse(BaseModel):
    """A text in its spoken form."""

    object: Literal["normalised"] = "normalised"
    model: str
    text: str = Field(description="Every number, date and sign in words.")


class Phones(BaseModel):
    """A text in phones."""

    object: Literal["phones"] = "phones"
    model: str
    phones: str = Field(description='IPA by spaces, words by " # ", a line for each line of the text.')
    phrases: list[dict[str, Any]] = Field(description="Each breath with its words, who said so and what was refused.")


class ModelObject(BaseModel):
    """Something that speaks."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "dimts"


class ModelList(BaseModel):
    """All of them."""

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
    consent: str | None = Field(default=None, description="How the speaker agreed, as it was given with the upload.")


class VoiceList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[VoiceRow]


class Deleted(BaseModel):
    """A voice that is gone."""

    id: str
    object: Literal["voice.deleted"] = "voice.deleted"
    deleted: bool = True


class Health(BaseModel):
    """How the server is."""

    status: Literal["ok", "stopping"]
    version: str
    models: list[str]
    requests: int = Field(description="Requests being spoken or waiting.")
    places: int = Field(description="How many of them are taken in.")
    slots: int = Field(description="Sentences that one loop decodes together.")
    speaking: dict[str, int] = Field(description="Sentences in the loop of each model.")
    waiting: dict[str, int] = Field(description="Sentences waiting for that loop.")
    repeatable: dict[str, bool] = Field(
        description="Whether a sentence is the same to the last bit whoever speaks beside it."
    )


class Problem(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The answer of every failure."""

    error: Problem


ConsentText = Annotated[str, Field(min_length=10, max_length=2000, description="How the speaker agreed.")]
VoiceName = Annotated[str, Field(min_length=1, max_length=100, description="What to call the voice.")]
