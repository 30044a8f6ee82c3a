"""Benchmarks against named peers, side by side in one process: `python -m benches`, `pytest benches/`."""
