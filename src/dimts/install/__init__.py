"""The libraries that suit this machine: found out, planned, installed with pip, tried, and taken back on
failure."""
