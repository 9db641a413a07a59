"""From recordings to a manifest that can be trusted."""
