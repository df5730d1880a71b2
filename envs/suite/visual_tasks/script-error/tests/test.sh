#!/bin/bash
# Run the hidden tests from the working directory. The reward is 1 only when every one of them passes.
mkdir -p /logs/verifier
if python -m pytest -q -p no:cacheprovider "$(dirname "$0")"; then
    echo 1 > /logs/verifier/reward.txt
else
    echo 0 > /logs/verifier/reward.txt
fi
