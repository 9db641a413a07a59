"""Count what happens during a run: steps, clips, checkpoints, samples."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from dimts.base.messages import Message


@dataclass(slots=True)
class RunStats:
    """Counters of one run. "Session" is the time since this process began; a run may have several."""

    steps: int = 0
    """Optimizer steps taken, all sessions together."""
    session_steps: int = 0
    """Optimizer steps taken in this session."""
    clipped: int = 0
    """Steps of this session whose gradient norm was above the limit."""
    forward_passes: int = 0
    """Forward passes with a backward pass in this session."""
    checkpoints: int = 0
    """Checkpoints written in this session."""
    sample_seconds: float = 0.0
    """Length of the sample sentences spoken in this session."""
    evaluated_sentences: int = 0
    """Sentences spoken for the metric at the last evaluation."""
    audio_seconds: float = 0.0
    """Speech trained on in this session."""
    losses_since_evaluation: list[float] = field(default_factory=list)
    """Training losses of the steps since the last evaluation."""
    best_score: float = math.nan
    """Value of the metric at the best checkpoint; nan while none was measured."""
    stop_reason: Message | None = None
    """Why early stopping ended the run; None otherwise."""
    average_distance: float = 0.0
    """Norm of the difference between parameters and their moving average at the end, as a share of theirs."""
    adapter_strength: float = 0.0
    """Norm of the adapters' updates, as a share of the norm of their weights, at the end."""
    adapter_bytes: int = 0
    """Size of the adapter folder."""
    coqui_files: int = 0
    """Files written for coqui-tts."""
    events: Counter[str] = field(default_factory=Counter)
    """Counts a stage keeps by name, such as restarted codes."""
