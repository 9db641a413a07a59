"""Continuous batching: decode the sentences of many threads in one loop, each added as soon as a slot is
free.

    scheduler = DecodingScheduler(model.gpt, slots=8)
    session = scheduler.session()                              # one for each request
    for step in session.generate(latents, ids, settings): …    # in the request's own thread
    session.cancel()                                           # from any thread; frees slots after this step

One pass over the weights serves every sentence in the loop. The codes of a sentence are decided by its own
seed alone: products are padded to the number of rows from which this machine sums them in one order
(`batch_invariance.py`), so that a sentence in a full loop equals the same sentence in an empty one to the
last bit. `repeatable` says whether that holds here. With `record_attention` the steps also hold the attention
over the text.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from torch import Tensor

from dimts.base.errors import SynthesisError
from dimts.xtts.batch_invariance import min_invariant_batch
from dimts.xtts.generate import Decoder, GeneratedSentence, collect
from dimts.xtts.gpt import GPT
from dimts.xtts.pace import StreamSettings
from dimts.xtts.sampling import DecodingStep, GenerateSettings
from dimts.xtts.spec import Spec

StepCallback = Callable[[float, int], None]
"""Called after every step with its seconds, and the number of active sentences."""
_FIRST, _THEN = StreamSettings().first_latents, StreamSettings().chunk_latents


class Cancelled(Exception):
    """The sentence was cancelled, or no new one may begin."""


@dataclass(eq=False)
class _Sentence:
    session: Session
    latents: Tensor
    ids: Sequence[int]
    settings: GenerateSettings
    wanted: int
    """Steps delivered at once: as many as the vocoder needs."""
    out: SimpleQueue[list[DecodingStep] | Exception] = field(default_factory=SimpleQueue)
    held: list[DecodingStep] = field(default_factory=list)
    number: int = -1
    """Number in the decoder; -1 while it waits for a slot."""


class DecodingScheduler:
    """The decoder, its thread, and the queue of sentences."""

    def __init__(
        self, gpt: GPT, slots: int = 8, on_step: StepCallback | None = None, *, record_attention: bool = True
    ) -> None:
        self.slots, self._record_attention = slots, record_attention
        self.min_rows = min_invariant_batch(gpt, slots)
        self.repeatable = self.min_rows > 0
        """Whether neighbours change no bit of a sentence on this machine."""
        self._gpt = gpt
        self.on_step = on_step
        self._decoder = self._fresh()
        self._changed = threading.Condition()
        self._waiting: deque[_Sentence] = deque()
        self._active: dict[int, _Sentence] = {}
        self._cancelled: list[_Sentence] = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="decoding loop", daemon=True)
        self._thread.start()

    def _fresh(self) -> Decoder:
        return Decoder(
            self._gpt, self.slots, min_rows=max(self.min_rows, 1), record_attention=self._record_attention
        )

    @property
    def speaking(self) -> int:
        """Number of slots that are taken."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Number of sentences that wait for a slot."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def session(self) -> Session:
        """Open a session for one request."""
        return Session(self)

    def close(self) -> None:
        """End the thread; sentences that are active or wait raise Cancelled."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    # Called by sessions

    def _add(self, sentence: _Sentence) -> None:
        with self._changed:
            if self._ended or sentence.session.over:
                raise Cancelled
            self._waiting.append(sentence)
            self._changed.notify_all()

    def _remove(self, gone: Callable[[_Sentence], bool]) -> None:
        """Remove sentences, active or waiting; they raise Cancelled in the threads that requested them."""
        with self._changed:
            for sentence in [one for one in self._waiting if gone(one)]:
                self._waiting.remove(sentence)
                sentence.out.put(Cancelled())
            for sentence in [one for one in self._active.values() if gone(one)]:
                self._cancelled.append(sentence)
                sentence.out.put(Cancelled())
            self._changed.notify_all()

    # Run by the thread

    def _run(self) -> None:
        while self._admit():
            began = time.perf_counter()
            try:
                steps = self._decoder.step()
            except Exception as error:  # noqa: BLE001 (raised in every session; a new decoder takes the next ones)
                self._fail(error)
                continue
            self._deliver(steps)
            if self.on_step is not None and steps:
                self.on_step(time.perf_counter() - began, len(steps))
        with self._changed:
            for sentence in (*self._waiting, *self._active.values()):
                sentence.out.put(Cancelled())
            self._waiting.clear()
            self._active.clear()

    def _admit(self) -> bool:
        """Remove cancelled sentences, admit one that waits; sleep while there is none. False at the end."""
        with self._changed:
            while not (self._ended or self._waiting or self._active or self._cancelled):
                self._changed.wait()
            for sentence in self._cancelled:
                self._decoder.remove(sentence.number)
                self._active.pop(sentence.number, None)
            self._cancelled.clear()
            if self._ended:
                return False
            admitted = self._waiting[0] if self._waiting and len(self._decoder) < self.slots else None
            if admitted is None:
                return True
        # one at a time: its prefill delays all others. Outside the lock: sessions need not wait for it.
        try:
            number = self._decoder.add(admitted.latents, admitted.ids, admitted.settings)
        except Exception as error:  # noqa: BLE001 (raised in its session)
            with self._changed:
                if admitted in self._waiting:
                    self._waiting.remove(admitted)
            admitted.out.put(error)
            return True
        with self._changed:
            if admitted in self._waiting:
                self._waiting.remove(admitted)
                admitted.number = number
                self._active[number] = admitted
            else:  # cancelled meanwhile
                self._decoder.remove(number)
        return True

    def _deliver(self, steps: list[DecodingStep]) -> None:
        for step in steps:
            sentence = self._active.get(step.row)
            if sentence is None:
                continue
            sentence.held.append(step)
            if step.last:  # its slot is free before its session receives the end
                with self._changed:
                    self._active.pop(step.row, None)
            if len(sentence.held) >= sentence.wanted or step.last:
                sentence.out.put(sentence.held)
                sentence.held, sentence.wanted = [], max(sentence.wanted, _THEN)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            for sentence in self._active.values():
                sentence.out.put(error)
            self._active.clear()
            self._cancelled.clear()
            self._decoder = self._fresh()


class Session:
    """One request's sentences, generated one after the other or at once."""

    def __init__(self, scheduler: DecodingScheduler) -> None:
        self._scheduler = scheduler
        self.over = False
        """Whether no further sentence may begin."""

    @property
    def speaking(self) -> bool:
        """Whether one of its sentences has a slot."""
        with self._scheduler._changed:
            return any(one.session is self for one in self._scheduler._active.values())

    def generate(
        self, latents: Tensor, ids: Sequence[int], settings: GenerateSettings
    ) -> Iterator[DecodingStep]:
        """Yield the steps of one sentence; closing the iterator cancels it. Raises Cancelled."""
        sentence = _Sentence(self, latents, ids, settings, _FIRST)
        self._scheduler._add(sentence)
        done = False
        try:
            while not done:
                for step in _next_steps(sentence):
                    done = step.last
                    yield step
        finally:
            if not done:
                self._scheduler._remove(lambda one: one is sentence)

    def generate_all(
        self, latents: Sequence[Tensor], texts: Sequence[Sequence[int]], settings: Sequence[GenerateSettings]
    ) -> list[GeneratedSentence]:
        """Generate several sentences at once, each complete, in the order given. Raises Cancelled."""
        endless = self._scheduler._gpt.spec.max_codes + 1
        asked = [_Sentence(self, *one, endless) for one in zip(latents, texts, settings, strict=True)]
        try:
            for sentence in asked:
                self._scheduler._add(sentence)
            return [_sentence(_next_steps(sentence), self._scheduler._gpt.spec) for sentence in asked]
        except BaseException:
            self._scheduler._remove(lambda one: one in asked)
            raise

    def finish(self) -> None:
        """Let active sentences finish; no other may begin."""
        self.over = True
        self._scheduler._remove(lambda one: one.session is self and one.number < 0)

    def cancel(self) -> None:
        """Cancel all its sentences; their slots are free after the current step."""
        self.over = True
        self._scheduler._remove(lambda one: one.session is self)


def _next_steps(sentence: _Sentence) -> list[DecodingStep]:
    found = sentence.out.get()
    if isinstance(found, Exception):
        raise found
    return found


def _sentence(steps: list[DecodingStep], spec: Spec) -> GeneratedSentence:
    if not steps:
        raise SynthesisError("xtts.no_codes")
    return collect(steps, spec)
