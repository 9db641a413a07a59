"""Install the libraries that suit this machine: detect, plan, install with pip, test, and roll back on
failure."""
