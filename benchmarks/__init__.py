"""Measurements of the whole service beside the bare parts that it stands on; `make bench` runs them."""
