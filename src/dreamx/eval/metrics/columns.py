"""The columns of the tables: their names, which way is better, and the backbone that measures them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dreamx.eval.metrics.bootstrap import BootstrapMean


@dataclass(frozen=True)
class Column:
    """One score. ``better``: 1 more, -1 less, 0 neither. ``tool``: the field of ``Backbones`` that it is taken with, or "".

    ``instead``: its name where a stand-in measures it, so that it is not read as the published score.
    """

    score: str
    head: str
    better: int
    digits: int
    says: str
    tool: str = ""
    instead: str = ""


#: The seven columns of DreamX-World 1.0, tables 3 and 4, in their order; Overall is their plain mean.
PAPER = (
    Column(
        "camera", "Camera", 1, 2, "does the video go the commanded way (WorldScore's protocol)", "pose", "Alignment (for Camera)"
    ),
    Column("quality", "Quality", 1, 2, "imaging quality", "quality", "Detail (for Quality)"),
    Column("transition", "Trans.", 1, 2, "videos without a cut, %"),
    Column("flicker", "Flicker", 1, 2, "temporal flickering"),
    Column("smoothness", "Smooth.", 1, 2, "motion smoothness", "middle", "Lucas-Kanade (for Smooth.)"),
    Column("dynamic", "Dynamic", 1, 2, "videos that move, %", "flow", "Lucas-Kanade (for Dynamic)"),
    Column("artifact", "Artifact", 1, 2, "frames without a critical failure, %", "judge", "No breakdown (for Artifact)"),
)
OVERALL = Column("overall", "Overall", 1, 2, "the plain mean of the seven", "", "Mean of these (for Overall)")
TRUTH = (
    Column("psnr", "PSNR, dB", 1, 2, "to the true render; 99 is equal"),
    Column("psnr end", "PSNR at the end", 1, 2, "the same in the last second"),
    Column("ssim", "SSIM", 1, 3, "structure as in the true render; 1 is equal"),
    Column("distance", "Distance", -1, 3, "perceptual distance to the true render; 0 is equal", "distance"),
    Column("sharpness", "Sharpness", 0, 2, "gradient energy by the truth's: below 1 blur, above 1 noise"),
    Column("sharpness end", "Sharpness at the end", 0, 2, "the same in the last second"),
    Column("colour", "Colour", -1, 2, "mean colour off the truth's, grey levels of 255"),
    Column("colour drift", "Colour drift", -1, 2, "the same in the last second, less in the first"),
)
CAMERA = (
    Column("degrees", "Turn error, °", -1, 2, "mean degrees between the read camera and the commanded one", "pose"),
    Column("metres", "Way error, m", -1, 3, "mean metres between them, after one scale for the path", "pose"),
    Column("camera by flow", "Camera by flow", 1, 2, "as Camera, read from the video alone", "sight"),
    Column("degrees by flow", "Turn error, ° by flow", -1, 2, "as Turn error, read from the video alone", "sight"),
    Column("metres by flow", "Way error, m by flow", -1, 3, "as Way error, read from the video alone", "sight"),
)
MEMORY = (
    Column("psnr back", "PSNR when back, dB", 1, 2, "to the true render, of the frames that come back to an earlier camera"),
    Column(
        "gain PSNR", "PSNR gain", 1, 2, "two frames of one place are so much more alike than two as far apart that are not: dB"
    ),
    Column("gain SSIM", "SSIM gain", 1, 3, "the same by SSIM"),
    Column("gain edges (for LPIPS)", "Edges gain (for LPIPS)", 1, 3, "the same by a stand-in for LPIPS", "distance"),
    Column("gain LPIPS", "LPIPS gain", 1, 3, "the same by LPIPS", "distance"),
    Column("gain layout (for DINO)", "Layout gain (for DINO)", 1, 3, "the same by a stand-in for DINO", "dino"),
    Column("gain DINO", "DINO gain", 1, 3, "the same by DINO", "dino"),
    Column("gain gradients (for VPR)", "Gradients gain (for VPR)", 1, 3, "the same by a stand-in for VPR", "vpr"),
    Column("gain VPR", "VPR gain", 1, 3, "the same by a descriptor of places", "vpr"),
    Column(
        "gain SIFT (for SP-Match)",
        "SIFT gain (for SP-Match)",
        1,
        3,
        "the same by SIFT instead of SuperPoint and LightGlue",
        "points",
    ),
    Column("gain SP-Match", "SP-Match gain", 1, 3, "the same by SuperPoint and LightGlue", "points"),
    Column("steadiness (for CLIP-V)", "Steadiness (for CLIP-V)", 0, 3, "likeness of neighbouring frames; 1 stands still", "clip"),
    Column("CLIP-V", "CLIP-V", 0, 3, "cosine of neighbouring frames by CLIP; 1 stands still", "clip"),
)
EVENTS = (
    Column("happened", "Happened, %", 1, 1, "frames of the event's time that look more like the truth with it than without"),
    Column("delay", "Delay, s", -1, 2, "until it begins; of the trials in which it does"),
    Column("lasted", "Lasted, %", 1, 1, "frames afterwards that still show what it left"),
    Column(
        "recognised",
        "Recognised, %",
        1,
        1,
        "records that a classifier of events sees happen, its thing, its kind, its time; its own accuracy stands below",
        "classifier",
    ),
    Column("leakage", "Leakage", -1, 2, "what the words changed elsewhere, grey levels"),
    Column("focus", "Focus, %", 1, 1, "share of all that the words changed that is where it should be"),
)


def _hold(where: str) -> tuple[Column, ...]:
    columns = (
        Column("psnr", "PSNR, dB", 1, 2, "to the true render; 99 is equal"),
        Column("psnr unseen", "PSNR unseen", 1, 2, "the same of pixels whose surface was never in view before"),
        Column("psnr seen", "PSNR seen", 1, 2, "the same of all others"),
        Column("ssim", "SSIM", 1, 3, "structure as in the true render; 1 is equal"),
        Column("sharpness", "Sharpness", 0, 2, "gradient energy by the truth's: below 1 blur, above 1 noise"),
        Column("sharpness unseen", "Sharpness unseen", 0, 2, "the same of pixels whose surface was never in view before"),
        Column("sharpness end", "Sharpness at the end", 0, 2, "the same of all pixels in the last second"),
        Column("colour drift", "Colour drift", -1, 2, "mean colour off the truth's, last second less first, grey levels"),
        Column("alive", "Alive, %", 1, 1, "frames in the features' manifold of true renders; the truth's is the ceiling"),
        Column("alive end", "Alive at the end, %", 1, 1, "the same in the last five seconds"),
        Column("turned off", "Turn off, °", -1, 1, "degrees that the picture is off after a whole turn, without sign"),
    )
    return tuple(replace(c, score=f"{where} {c.score}") for c in columns)


def _sets(where: str) -> tuple[Column, ...]:
    columns = (
        Column("precision", "Precision, %", 1, 1, "frames inside the manifold of true renders"),
        Column("recall", "Recall, %", 1, 1, "true renders inside the manifold of the frames; few paths see little of a place"),
        Column("density", "Density", 1, 2, "how many true renders have a frame near, by their number; 1 in the mean where equal"),
        Column("coverage", "Coverage, %", 1, 1, "true renders that have a frame near"),
        Column("kernel distance", "Kernel distance", -1, 2, "squared MMD of features (KID's kernel); the truth's is the floor"),
    )
    return tuple(replace(c, score=f"{where} {c.score}") for c in columns)


#: Curves of the suite hold, by the beginning of their names; the end is the path.
HOLD_CURVES = {
    "alive": "alive, %",
    "psnr": "PSNR, dB",
    "psnr unseen": "PSNR unseen, dB",
    "ssim": "SSIM",
    "sharpness": "sharpness, the truth is 1",
    "sharpness unseen": "sharpness unseen, the truth is 1",
}
HOLD_PATHS = {
    "home-hold-w": "W held, at home",
    "home-turn": "a turn at home",
    "home-wander": "a wander at home",
    "open-hold-w": "W held, open ground",
    "open-turn": "a turn on open ground",
    "open-wander": "a wander on open ground",
}
CURVES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "distance": "perceptual distance",
    "colour": "mean colour off, grey levels",
    "sharpness": "sharpness, the truth is 1",
    **{f"{c} {p}": f"{path}: {what}" for p, path in HOLD_PATHS.items() for c, what in HOLD_CURVES.items()},
}
#: The title of the first table where all of it was taken as the paper takes it, and where it was not.
AS_IN_THE_PAPER, BY_STAND_INS = "as in the paper", "by stand-ins for the paper's columns"
#: Why a cell of Artifact, and with it of the mean, may be empty.
STILL = "A picture that stands still cannot break down, so by a stand-in it has no score of that (-), and no mean."
#: By their titles, in the order of a report.
TABLES = (
    (AS_IN_THE_PAPER, (*PAPER, OVERALL)),
    ("against the true render", TRUTH),
    ("camera", CAMERA),
    ("memory", MEMORY),
    ("events", EVENTS),
    ("home places", _hold("home")),
    ("home places: sets of frames against sets of true renders", _sets("home")),
    ("open ground", _hold("open")),
    ("open ground: sets of frames against sets of true renders", _sets("open")),
)
COLUMNS = {c.score: c for _, columns in TABLES for c in columns}


def named_for(columns: tuple[Column, ...], stand_ins: set[str]) -> tuple[Column, ...]:
    """Rename the columns that a stand-in (a field of ``Backbones``) measures, and Overall where it includes one of them."""
    mean = any(c.tool in stand_ins for c in PAPER)
    return tuple(
        replace(c, head=c.instead) if c.instead and (c.tool in stand_ins or (c == OVERALL and mean)) else c for c in columns
    )


def overall(scores: dict[str, float]) -> float | None:
    """The plain mean of the seven columns of the paper; None where one is missing."""
    # A mean of six would be compared with means of seven.
    if any(c.score not in scores for c in PAPER):
        return None
    return sum(scores[c.score] for c in PAPER) / len(PAPER)


def column(score: str) -> Column:
    """Return the column of a score; scores of other suites get a column of their bare name."""
    return COLUMNS.get(score) or Column(score, score, 1, 3, score)


def cell(mean: BootstrapMean, digits: int) -> str:
    """``12.34 ± 0.56``: half the width of the interval."""
    return f"{mean.mean:.{digits}f} ± {(mean.high - mean.low) / 2:.{digits}f}"
