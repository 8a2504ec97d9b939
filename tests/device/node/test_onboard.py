"""Plain requests to a node that is no member yet: why one failed."""

from node_peer import load

from writ.errors import TableFull, TimedOut
from writ.limits import REQUESTS_MAX
from writ.node.onboard import meet, welcome


def fail(node, begin):
    answers = []
    begin(answers.append)
    node.tick(1000)
    return answers


def test_the_table_of_requests_is_full():
    node = load({})
    for number in range(REQUESTS_MAX):
        meet(node, "n%d" % number, lambda answer: None)
    node.tick(1000)
    (answer,) = fail(node, lambda done: meet(node, "new", done))
    assert isinstance(answer.rejection, TableFull)
    (answer,) = fail(node, lambda done: welcome(node, "new", b"capsule", done))
    assert isinstance(answer.rejection, TableFull)


def test_no_answer():
    node = load({})
    answers = []
    meet(node, "new", answers.append)
    node.tick(1000)
    for now_ms in range(2000, 200000, 1000):
        node.tick(now_ms)
    (answer,) = answers
    assert isinstance(answer.rejection, TimedOut)
