"""Trainers that play tasks themselves while they learn: a module for each, imported by name."""
