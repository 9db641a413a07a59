"""The lowest layer: errors, messages, settings, plug-ins, files. Imports nothing else of dimts."""
