"""Simple scenes of shapes, stored as text."""

from .codec import load, dump
from .scene import Scene
from .base import Circle, Rect
