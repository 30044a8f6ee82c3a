"""From the socket to samples: ours and its peers under the same load. `python -m benches.wire --help`."""
