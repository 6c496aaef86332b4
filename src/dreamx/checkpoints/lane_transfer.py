"""Camera lane of one transformer in another: trained on a bidirectional model, plugged into a few-step student without one.

The lane is a residual of its own inside each block, so that it can be moved as it is. Source: DreamX-World 1.0, section 3.5: the
branch is added to the student of long video, which is then distilled from the bidirectional teacher.
"""

from __future__ import annotations

from dataclasses import replace

from dreamx.model.dit import DiT


def insert_lane(student: DiT, donor: DiT) -> DiT:
    """Return a copy of ``student`` with the camera lane of ``donor``, in place of its own if it has one.

    ValueError, one sentence, where donor has no lane, or their trunks differ in layers or width.
    """
    ours, theirs = student.config, donor.config
    if theirs.view is None:
        raise ValueError("lane: that transformer has no camera lane (dit.view is none); give one that was trained with cameras")
    for name in ("layers", "width"):
        if getattr(ours, name) != getattr(theirs, name):
            raise ValueError(
                f"lane: it is of a transformer whose dit.{name} is {getattr(theirs, name)}, and here it is "
                f"{getattr(ours, name)}; give a lane of the same shape"
            )
    made = DiT(replace(ours, view=theirs.view)).to(next(student.parameters()))
    lane = {k: x for k, x in donor.state_dict().items() if ".view." in k}
    trunk = {k: x for k, x in student.state_dict().items() if ".view." not in k}
    made.load_state_dict(trunk | lane)
    return made
