"""What an edge's hello says of its store: whether it is the one that central knows. Pure."""

from central.stream import Stream
from shared.frames import Hello, Refusal


def refusal(stream: Stream, hello: Hello, *, lost: bool) -> Refusal:
    """Why nothing is taken from who says this; empty: all is well.

    Args:
        stream: the edge's, not fenced.
        hello: what was said.
        lost: one of the starts that it names was found behind before. It has not caught up
            since: it has gone another way.
    """
    if stream.boot and stream.boot not in hello.boots:
        return "twin"
    if _rebuilds(stream, hello):
        return ""
    if hello.unfit:
        return "behind"
    if hello.boots[-1] == stream.boot:
        return ""  # A process is never behind itself: this hello has been long on its way.
    return "behind" if lost or is_behind(stream, hello) else ""


def is_behind(stream: Stream, hello: Hello) -> bool:
    """Whether the edge lacks what it is known to have had."""
    if hello.epoch < stream.epoch or hello.feed < stream.feed_acked:
        return True
    return hello.epoch == stream.epoch and hello.sequence < stream.sequence


def _rebuilds(stream: Stream, hello: Hello) -> bool:
    """A rejoin that replaces all it has is still on its way to this edge."""
    return (
        stream.restored and stream.feed_acked < stream.rejoin and hello.epoch < stream.share_epoch
    )
