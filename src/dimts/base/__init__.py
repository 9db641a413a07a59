"""The ground floor: errors, doubts, settings, plug-ins, places. Imports nothing of ours."""
