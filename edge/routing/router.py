"""From a question to an answer.

Pure: the same knowledge, question and time give the same plan, bit for bit. A question is
gathered into arrays and solved (`attempt`), with lines cut that no node has whole
(`splitting`); where fences clash, it is said which, and what breaking one would give
(`relaxing`); the answer is told by name (`telling`).
"""

from dataclasses import replace

from edge.routing import alternatives as others
from edge.routing import fences
from edge.routing.gather import Asked
from edge.routing.known import Known
from edge.routing.question import Question, Routed
from edge.routing.relaxing import Clash, Relaxation
from edge.routing.splitting import tried
from edge.routing.telling import told


def route(
    known: Known,
    question: Question,
    now_ms: int,
    *,
    offer: bool = False,
    alternatives: bool = False,
) -> Routed:
    """Decide which node ships which lines.

    Args:
        known: the network, stock and what else is known; it has every SKU and node of the
            question.
        question: lines and wishes; at least one line.
        now_ms: the time of the decision, milliseconds since 1970 UTC.
        offer: nothing will be committed: where no plan keeps every fence, any may be broken to
            show a plan. Without it only what the profile permits.
        alternatives: other plans are wanted, too.
    """
    asked = Asked(known, question, known.profile(question, now_ms), now_ms)
    found, clash = tried(asked), Clash()
    if not found.whole():
        relaxation = Relaxation(asked, found)
        if relaxation.helps:
            permitted: list[str] = list(asked.profile.relax)
            if offer:
                every_name = fences.names_of(fences.breakable)
                permitted += [name for name in every_name if name not in permitted]
            found = relaxation.broken(permitted) or found
            clash = relaxation.clash(found)
    answer = told(found, clash)
    if alternatives:
        answer = replace(answer, alternatives=others.alternatives(found, answer, clash))
    return answer
