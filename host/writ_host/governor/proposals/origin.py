"""The age of statements: how long one counts, with and without the approval of operators."""

from ...humanize import utc_minute
from .statement import Statement

# The oldest statement that replaces an operator's approval, or that requests an action.
STATEMENT_AGE_MAX_S = 86400
# A proposal that operators must approve waits so long for them (proposal.LIFETIME_S).
STATEMENT_WAIT_MAX_S = 14 * 86400


def age_problem(
    statement: Statement, name: str, clock_s: int, clock_skew_max_s: int, waiting_s: int = 0
) -> str | None:
    """Why the statement of the member `name` is too old, or too new; None if it is neither.

    waiting_s: how long its proposal may have waited for operators.
    """
    age_s = clock_s - statement.issued
    if -clock_skew_max_s <= age_s <= STATEMENT_AGE_MAX_S + waiting_s:
        return None
    issued = utc_minute(statement.issued)
    return f"the statement of {name} was signed on {issued}, too far from our clock"
