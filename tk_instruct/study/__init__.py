"""Studies: experiments that a small file declares, run one after the other and put side by side."""

from tk_instruct.study.collected import Cell, Collected, Fitted, Mean, PublishedPoint, collected
from tk_instruct.study.file import Axis, Point, Study, study_of

__all__ = [
    "Axis",
    "Cell",
    "Collected",
    "Fitted",
    "Mean",
    "Point",
    "PublishedPoint",
    "Study",
    "collected",
    "study_of",
]
