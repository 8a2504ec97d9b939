"""A member on IP against the airtime of a gateway, by its proxy."""

from typing import Any

import airfield_rig
import node_rig
import proxy_rig as rig
import pytest

from writ.errors import TableFull
from writ.mesh.budget import used_us_of
from writ.mesh.transfer import REQUESTERS
from writ.wire import coap
from writ_host.node import behind

ATTACK_MS = 2_400_000
FRAME_US = 60_000


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> rig.Site:
    """A site at 1 %, after the hour in which its mesh was formed."""
    monkeypatch.setattr(airfield_rig.Radio, "duty_cycle_permille", 10)
    made = rig.Site()
    made.run(seconds=4000)
    return made


def budget_of(site: rig.Site) -> Any:
    """The airtime of the gateway's radio."""
    return site.frames["gate"].mesh.outbox.budgets[0]


def flood(site: rig.Site) -> list[Any]:
    """Long plain requests of a guest, for 40 minutes or until no airtime is left; the answers.

    The node refuses them, but they are of class 0, which a guest may send.
    """
    guest = site.desk("guest", 8, rig.GUEST)
    inner = node_rig.datagram(coap.CON, coap.POST, b"x" * 500, options=[(coap.URI_PATH, b"writ")])
    answers: list[Any] = []
    end_ms = site.now_ms + ATTACK_MS
    while site.now_ms < end_ms and budget_of(site).wait_ms(site.now_ms, FRAME_US) == 0:
        guest.now_ms = site.now_ms
        try:
            out = guest.request(
                coap.POST, behind.PATH, inner, rig.GATE, query=["to=0003"], on_answer=answers.append
            )
            site.send("guest", out)
        except TableFull:
            # the guest's own table
            pass
        site.run(seconds=3)
    return answers


def test_requesters_on_ip_get_half_of_a_gateways_airtime(site: rig.Site) -> None:
    flood(site)
    budget = budget_of(site)
    used_us = used_us_of(budget.neighbours[REQUESTERS], site.now_ms)
    assert budget.limit_us // 3 < used_us <= budget.limit_us // 2
    # receipts and answers on the way are charged to the relay; some airtime is left for all else
    assert budget.wait_ms(site.now_ms, budget.limit_us // 5) == 0
    assert site.nodes["gate"].counters["NeighbourAirtime"]


def test_a_revocation_reaches_the_field_though_a_guest_floods_its_gateway(site: rig.Site) -> None:
    flood(site)
    policy = site.next_policy(rig.ROUTES, revoked=[node_rig.node_id("guest")])
    site.nodes["gate"].authority.receive(policy, site.now_ms)
    assert site.run(lambda: site.nodes["soil"].authority.epoch == site.epoch, 600)
