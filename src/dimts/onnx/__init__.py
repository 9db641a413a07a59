"""Voices as ONNX graphs: exported with PyTorch, run by onnxruntime and numpy alone.

    export.py        export a bundle as a folder: three graphs, their weights, voice.json, card and licence
    voice_folder.py  load and check that folder as an OnnxVoice
    decoder.py       decode codes and latents from text ids
    vocoder.py       vocode latents as they arrive

The folder's format is specified in `docs/onnx.md`.
"""
