"""Sentences of many threads → one decoding loop: each joins when a slot is free and leaves when it is over.

    loop = Loop(model.gpt, slots=8)
    guest = loop.guest()                                # one for each request
    for step in guest.say(latents, ids, settings): …    # in the request's own thread
    guest.leave()                                       # from any thread: its slots are free after the step at work

One pass over the weights serves every sentence in the loop. What a sentence says is decided by its own seed alone:
products are filled up to the number of rows from which this machine sums them in one order (`steady.py`), so that
a sentence in a full loop equals the same sentence in an empty one to the last bit. `repeatable` says whether that
holds here. With `gaze` the steps also tell where heads looked, for whoever guards the sentence.
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
from dimts.xtts.generate import Decoder, DecodingStep, GeneratedSentence, GenerateSettings, collect
from dimts.xtts.gpt import GPT
from dimts.xtts.spec import Spec
from dimts.xtts.stream import StreamSettings

Watch = Callable[[float, int], None]
"""Told of every step: its seconds, and how many sentences it served."""
_FIRST, _THEN = StreamSettings().first_latents, StreamSettings().chunk_latents


class Cancelled(Exception):
    """The sentence was given up by whoever had asked for it, or no new one may begin."""


@dataclass(eq=False)
class _Sentence:
    guest: Session
    latents: Tensor
    ids: Sequence[int]
    settings: GenerateSettings
    wanted: int
    """Steps that are handed over at once: as many as the vocoder waits for."""
    out: SimpleQueue[list[DecodingStep] | Exception] = field(default_factory=SimpleQueue)
    held: list[DecodingStep] = field(default_factory=list)
    number: int = -1
    """In the decoder, once it has joined."""


class DecodingScheduler:
    """The decoder, the thread that drives it, and the sentences that wait."""

    def __init__(self, gpt: GPT, slots: int = 8, watch: Watch | None = None, *, gaze: bool = True) -> None:
        self.slots, self._gaze = slots, gaze
        self.least_rows = min_invariant_batch(gpt, slots)
        self.repeatable = self.least_rows > 0
        """Whether neighbours change no bit of a sentence on this machine."""
        self._gpt = gpt
        self.watch = watch
        self._decoder = self._fresh()
        self._changed = threading.Condition()
        self._waiting: deque[_Sentence] = deque()
        self._speaking: dict[int, _Sentence] = {}
        self._left: list[_Sentence] = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="decoding loop", daemon=True)
        self._thread.start()

    def _fresh(self) -> Decoder:
        return Decoder(self._gpt, self.slots, least_rows=max(self.least_rows, 1), watch=self._gaze)

    @property
    def speaking(self) -> int:
        """Slots that are taken."""
        return len(self._speaking)

    @property
    def waiting(self) -> int:
        """Sentences that wait for a slot."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether it still turns."""
        return self._thread.is_alive()

    def guest(self) -> Session:
        """A seat for one request."""
        return Session(self)

    def close(self) -> None:
        """End the thread; whoever still speaks or waits gets Left."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    # Of guests

    def _add(self, sentence: _Sentence) -> None:
        with self._changed:
            if self._ended or sentence.guest.over:
                raise Cancelled
            self._waiting.append(sentence)
            self._changed.notify_all()

    def _remove(self, gone: Callable[[_Sentence], bool]) -> None:
        """Take sentences out, wherever they are; whoever waits for them gets Left."""
        with self._changed:
            for sentence in [one for one in self._waiting if gone(one)]:
                self._waiting.remove(sentence)
                sentence.out.put(Cancelled())
            for sentence in [one for one in self._speaking.values() if gone(one)]:
                self._left.append(sentence)
                sentence.out.put(Cancelled())
            self._changed.notify_all()

    # Of the thread

    def _run(self) -> None:
        while self._ready():
            began = time.perf_counter()
            try:
                steps = self._decoder.step()
            except Exception as error:  # noqa: BLE001 (told to everybody in the loop; the next ones begin afresh)
                self._fail(error)
                continue
            self._hand_out(steps)
            if self.watch is not None and steps:
                self.watch(time.perf_counter() - began, len(steps))
        with self._changed:
            for sentence in (*self._waiting, *self._speaking.values()):
                sentence.out.put(Cancelled())
            self._waiting.clear()
            self._speaking.clear()

    def _ready(self) -> bool:
        """Let go who left, take in one who waits; sleep while there is nobody. False at the end."""
        with self._changed:
            while not (self._ended or self._waiting or self._speaking or self._left):
                self._changed.wait()
            for sentence in self._left:
                self._decoder.leave(sentence.number)
                self._speaking.pop(sentence.number, None)
            self._left.clear()
            if self._ended:
                return False
            joining = self._waiting[0] if self._waiting and len(self._decoder) < self.slots else None
            if joining is None:
                return True
        # one at a time: reading its text holds up everybody else. Outside the lock: guests need not wait for it.
        try:
            number = self._decoder.join(joining.latents, joining.ids, joining.settings)
        except Exception as error:  # noqa: BLE001 (told to who asked)
            with self._changed:
                if joining in self._waiting:
                    self._waiting.remove(joining)
            joining.out.put(error)
            return True
        with self._changed:
            if joining in self._waiting:
                self._waiting.remove(joining)
                joining.number = number
                self._speaking[number] = joining
            else:  # it left meanwhile
                self._decoder.leave(number)
        return True

    def _hand_out(self, steps: list[DecodingStep]) -> None:
        for step in steps:
            sentence = self._speaking.get(step.row)
            if sentence is None:
                continue
            sentence.held.append(step)
            if step.last:  # its slot is free before its guest can know
                with self._changed:
                    self._speaking.pop(step.row, None)
            if len(sentence.held) >= sentence.wanted or step.last:
                sentence.out.put(sentence.held)
                sentence.held, sentence.wanted = [], max(sentence.wanted, _THEN)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            for sentence in self._speaking.values():
                sentence.out.put(error)
            self._speaking.clear()
            self._left.clear()
            self._decoder = self._fresh()


class Session:
    """One request's seat in the loop: it may say several sentences, one after the other or at once."""

    def __init__(self, loop: DecodingScheduler) -> None:
        self._loop = loop
        self.over = False
        """No sentence may begin any more."""

    @property
    def speaking(self) -> bool:
        """Whether one of its sentences has a slot."""
        with self._loop._changed:
            return any(one.guest is self for one in self._loop._speaking.values())

    def say(self, latents: Tensor, ids: Sequence[int], settings: GenerateSettings) -> Iterator[DecodingStep]:
        """One sentence, as `generate` says it; to stop iterating is to leave. Raises Left."""
        sentence = _Sentence(self, latents, ids, settings, _FIRST)
        self._loop._add(sentence)
        done = False
        try:
            while not done:
                for step in _taken(sentence):
                    done = step.last
                    yield step
        finally:
            if not done:
                self._loop._remove(lambda one: one is sentence)

    def say_all(
        self, latents: Sequence[Tensor], texts: Sequence[Sequence[int]], settings: Sequence[GenerateSettings]
    ) -> list[GeneratedSentence]:
        """Several sentences at once, each whole, in the order given. Raises Left."""
        endless = self._loop._gpt.spec.max_codes + 1
        asked = [_Sentence(self, *one, endless) for one in zip(latents, texts, settings, strict=True)]
        try:
            for sentence in asked:
                self._loop._add(sentence)
            return [_whole(_taken(sentence), self._loop._gpt.spec) for sentence in asked]
        except BaseException:
            self._loop._remove(lambda one: one in asked)
            raise

    def last(self) -> None:
        """Let the sentences finish that are being said; no other may begin."""
        self.over = True
        self._loop._remove(lambda one: one.guest is self and one.number < 0)

    def leave(self) -> None:
        """Give up all its sentences; their slots are free after the step at work."""
        self.over = True
        self._loop._remove(lambda one: one.guest is self)


def _taken(sentence: _Sentence) -> list[DecodingStep]:
    found = sentence.out.get()
    if isinstance(found, Exception):
        raise found
    return found


def _whole(steps: list[DecodingStep], spec: Spec) -> GeneratedSentence:
    if not steps:
        raise SynthesisError("xtts.no_codes")
    return collect(steps, spec)
