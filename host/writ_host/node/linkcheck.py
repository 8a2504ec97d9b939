"""What changes at a node's frame links, for its log: a modem that is ready, missing or silent."""

from typing import Any

# A modem that is set up answers within this time
PATIENCE_MS = 5000


class LinkCheck:
    """links: the frame links; entries: theirs of config.json."""

    def __init__(self, links: list[Any], entries: list[dict[str, Any]]) -> None:
        self._links = links
        self._labels = [
            f"link {number} ({entry.get('modem', entry['kind'])} at {entry.get('port', 'SPI')})"
            for number, entry in enumerate(entries)
        ]
        # of each link: its problem as it was said last, None if nothing was said
        self._said: list[str | None] = [None] * len(links)
        self._since_ms: list[int | None] = [None] * len(links)

    def tick(self, now_ms: int) -> list[tuple[int, str, str]]:
        """What is new since the last call: [(number of the link, problem or "", text)]."""
        news = []
        for number, link in enumerate(self._links):
            problem = link.error or ""
            if not problem:
                self._since_ms[number] = None
            elif self._since_ms[number] is None:
                self._since_ms[number] = now_ms
            since_ms = self._since_ms[number]
            if problem == self._said[number] or (
                since_ms is not None and now_ms - since_ms < PATIENCE_MS
            ):
                continue
            self._said[number] = problem
            text = f"{self._labels[number]} is ready"
            if problem:
                text = f"{self._labels[number]} does not work: {problem}{_counts(link)}"
            news.append((number, problem, text))
        return news


def _counts(link: Any) -> str:
    listed = ", ".join(f"{name} {count}" for name, count in link.counters.items())
    return f" ({listed})" if listed else ""
