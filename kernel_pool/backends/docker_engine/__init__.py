"""The parts of the Docker back-end; `backends/docker.py` puts them together. Not named `docker`: the SDK is."""
