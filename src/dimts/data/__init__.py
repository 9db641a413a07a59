"""Preparation of recordings: from media files to a checked manifest."""
