"""Measuring voices and front ends, and writing it up."""
