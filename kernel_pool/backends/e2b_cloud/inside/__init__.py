"""What runs inside an E2B sandbox: standard library only, Python 3.9 or later, shipped as one zip file.

`main.py` takes a request and answers in frames; `command.py` runs one command within its limits; `states.py` tells
what the file tree holds; `mounts.py` lays directories over it. Nothing here talks to the network.
"""
