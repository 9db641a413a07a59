"""Evaluation of voices and front ends, with reports."""
