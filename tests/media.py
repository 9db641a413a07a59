"""Sound files of any container and codec, made for tests by PyAV."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_media(path: Path, samples: np.ndarray, rate: int, form: str, codec: str, layout: str) -> None:
    """Samples [T] in a container; in stereo, the second channel is half as loud."""
    channels = np.stack([samples] if layout == "mono" else [samples, samples / 2]).astype(np.float32)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        codec_format = stream.codec_context.format.name
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(
            format=codec_format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
