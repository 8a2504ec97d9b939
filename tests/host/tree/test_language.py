"""Words and phrases that have proved unclear do not occur in code and pages (STYLE.md, Language).

Add a phrase with its replacement when a reader had to read a sentence twice.
"""

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from device_files import ROOT

# Phrase (a regular expression, matched as whole words without regard to case): what to write.
UNCLEAR = {
    # riddles
    "whoever": "the party by name: the caller, the operator, any node",
    "whomever|no[- ]?one|nobody": "name the party that does not",
    "somebody|anybody|someone|anyone else's": "name the party: an attacker, an operator, a peer",
    "is waited for|are waited for": "the round waits for ...",
    "has time|have time": "is deferrable",
    "lets? go|letting go|let_go": "flush, release, discard",
    "what others want": "the other governors' value",
    "(?:, |put |puts |said |says |told )in words": "as text",
    "come of it|comes of it|came of it|what comes of": "the result, the outcome",
    "each so many|so many ms|so many seconds": "a period in ms, in seconds",
    "own word|signed word|newest word|its word|his word|their word": "signed message, approval",
    "who is late|who was late|who are late": "a late governor, a late vote",
    "who comes|who goes|who has gone": "a new governor, a governor that leaves",
    "all there is to": "everything that",
    "is none of": "is not one of",
    "not to be had": "not available",
    "what is wanted|is wanted by": "is requested, is needed",
    "says no|say no|said no": "refuses, denies",
    "may die|may lie|has died|have died": "offline, Byzantine",
    # old names; the words of docs/architecture.md replace them
    "errands?": "operation",
    "takeovers?": "activation",
    "pledged?|pledges": "reservation (names), sign guard (epochs)",
    "(?-i:Promised)": "reserved (names), durable in the hard state (votes)",
    "rations?|rationed|rationing": "rate limit",
    "purses?": "nonce pool",
    "(?-i:Desk)": "Api",
    "certifiers?|(?-i:Certifying)": "cosigner, cosigning",
    "timedledger": "failstop",
    "has_time|keep_house|use_pause": "deferrable, housekeeping",
    "calm": "fast path",
    "spoken": "fingerprint_digits; supported",
    "decide_on": "approve_or_deny",
    "(?:is|was|be) set back": "the device backs off from ...",
}
# Lines in which such a word is right, because it names what is on disk: the table `pledges`, the
# file NAME.pledges, the tag "writ-pledges"; or because the line quotes an old name.
ALLOWED = re.compile(
    r"(?:FROM|INTO|ON|UPDATE|TABLE|table) \W?pledges\b|writ-pledges|\.pledges\b|\(was `Rationed`\)"
)
OWN = Path(__file__).name
SUFFIXES = (".py", ".md", ".toml")
PATTERN = re.compile("|".join(rf"(?P<p{i}>\b(?:{p})\b)" for i, p in enumerate(UNCLEAR)), re.I)


def tracked() -> list[str]:
    """The tracked text files of the tree."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    names = [PurePosixPath(name) for name in done.stdout.splitlines()]
    return [str(n) for n in names if n.suffix in SUFFIXES or n.name == "Makefile" if n.name != OWN]


def unclear(name: str) -> list[str]:
    """`file:line: word -> replacement` for each unclear word in a file."""
    found = []
    better = list(UNCLEAR.values())
    for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
        if ALLOWED.search(line):
            continue
        for match in PATTERN.finditer(line):
            advice = better[int((match.lastgroup or "p0")[1:])]
            found.append(f"{name}:{number}: {match[0]!r} -> {advice}")
    return found


@pytest.mark.slow
def test_the_whole_tree_is_clear() -> None:
    names = tracked()
    assert len(names) > 300
    assert [line for name in names for line in unclear(name)] == []


@pytest.mark.parametrize(
    "text",
    ["Whoever was silent", "It, in words.", "class Takeover:", "who was late is waited for"],
)
def test_the_rule_bites(text: str) -> None:
    assert PATTERN.search(text)


@pytest.mark.parametrize(
    "text", ["for word in words:", "what is promised", 'codec.dump(["writ-pledges", known])']
)
def test_the_rule_spares_what_is_right(text: str) -> None:
    assert not PATTERN.search(text) or ALLOWED.search(text)
