"""What part of the output the text has come to, as it comes: prose, a list, code, thinking, a tool call."""

from triroute.engine.segments.segmenter import Segmenter
from triroute.engine.segments.speech import Speech
from triroute.engine.segments.track import Track

__all__ = ["Segmenter", "Speech", "Track"]
