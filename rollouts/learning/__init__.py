"""Closing the loop: rollouts -> export -> new weights of the mutation policy -> better rollouts."""
