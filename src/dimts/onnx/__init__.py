"""Voices as ONNX graphs: exported with PyTorch, spoken by onnxruntime and numpy alone.

    export.py        Bundle → a folder: three graphs, their weights, voice.json, card and licence
    voice_folder.py  the folder → an OnnxVoice, checked
    decoder.py       OnnxVoice, text ids → codes and latents
    vocoder.py       latents as they come → wave

The folder's format is specified in `docs/onnx.md`.
"""
