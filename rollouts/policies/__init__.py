"""Policies: what decides the next action."""
