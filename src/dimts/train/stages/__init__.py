"""Train the four parts of XTTS, each behind the protocol of `stage.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dimts.train.stages.stage import Stage


def stage_class(name: str) -> type[Stage]:
    """Return the class of a stage by its name."""
    if name == "speaker":
        from dimts.train.stages.speaker import SpeakerStage

        return SpeakerStage
    if name == "dvae":
        from dimts.train.stages.dvae import DvaeStage

        return DvaeStage
    if name == "decoder":
        from dimts.train.stages.decoder import DecoderStage

        return DecoderStage
    from dimts.train.stages.gpt import GptStage

    return GptStage
