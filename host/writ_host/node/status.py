"""The status of a node: from its answer to `writ/status`, or from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writ.authority.authority import Authority
from writ.authority.capsule import node_id
from writ.authority.policy import ROLE_MEMBER
from writ.authority.store import FileFlash, Store
from writ.crypto import p256_public

from ..errors import NoNode
from ..humanize import duration, moment
from ..policy.text import role_text
from . import config as nodeconfig


def describe_status(status: dict[str, Any], own_epoch: int) -> dict[str, object]:
    """{label: text} of a status answer (`Node.status`), whose values may have any type."""
    epoch = status.get("epoch")
    compared = "as here" if epoch == own_epoch else f"here: {own_epoch}"
    now = status.get("time")
    rejected = status.get("rejected")
    return {
        "name": status.get("name"),
        "scope": status.get("scope"),
        "epoch": f"{epoch} ({compared}), head {_hex(status.get('head'))}",
        "policy": _age(now, status.get("policy"), status.get("amended") is True),
        "beacon": _beacon(status),
        "sessions": status.get("sessions"),
        "running": _seconds(status.get("uptime_s"), "{}"),
        "rejected": _counts(rejected) if isinstance(rejected, dict) else None,
    }


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else "none"


def _seconds(value: object, text: str) -> str | None:
    return text.format(duration(value)) if isinstance(value, int) else None


def policy_age(age_s: int, is_amended: bool) -> str:
    """The age of the policy in force, as far as a node knows it: amendments carry no time."""
    if is_amended:
        return f"amended since the whole policy of {duration(age_s)} ago"
    return f"certified {duration(age_s)} ago"


def _age(now: object, then: object, is_amended: bool) -> str:
    # a node's clock is the newest certified time plus the seconds counted since: a lower bound
    if not isinstance(now, int) or not isinstance(then, int):
        return "none"
    if is_amended:
        return f"amended since the whole policy of {moment(then)}"
    return f"of {moment(then)}, at least {duration(now - then)} old"


def _beacon(status: dict[str, Any]) -> str:
    age_s = status.get("beacon_age_s")
    if isinstance(age_s, int):
        return f"{duration(age_s)} old"
    if status.get("beacon") is None:
        return "none"
    # a node does not know how long it was switched off
    return "of unknown age: none received since the start"


def _counts(rejected: dict[str, Any]) -> str:
    counts = [(n, name) for name, n in rejected.items() if isinstance(n, int)]
    most_first = sorted(counts, key=lambda item: (-item[0], str(item[1])))
    return ", ".join(f"{name} {count}" for count, name in most_first) or "nothing"


@dataclass(frozen=True)
class FolderStatus:
    """The content of a node's folder. Times in Unix seconds; None for what is missing.

    policy: the time of the last whole policy; is_amended: amendments have changed it since.
    """

    name: str
    node: bytes
    scope: str | None
    scope_id: bytes | None
    address: int | None
    roles: list[str] | None
    expires: int | None
    epoch: int
    head: bytes | None
    policy: int | None
    beacon: int | None
    is_revoked: bool
    is_amended: bool
    gateways: list[str]


def read_folder_status(path: Path) -> FolderStatus:
    """Read a node's folder, even while the node runs: no lock is needed. Raises `NoNode`."""
    config = nodeconfig.read(path, of_chip=True)
    store = Store(FileFlash(str(path)))
    private = store.load("key")
    if not private:
        raise NoNode(
            f"{path} has no key yet",
            "Start it once: writ node run. Or run: writ member request.",
        )
    x, _ = p256_public(private)
    scope = config.get("scope")
    authority = Authority(store, x, bytes.fromhex(scope) if scope else None)
    me, policy, charter = authority.me, authority.policy, authority.charter
    roles = None
    if me and policy:
        roles = role_text(policy, policy.roles_of(me) & ~ROLE_MEMBER, ",").split(", ")
    identity = node_id(x)
    return FolderStatus(
        name=me.name if me else config.get("name", "node"),
        node=identity,
        scope=charter.name if charter else None,
        scope_id=authority.scope,
        address=me.address if me else None,
        roles=roles,
        expires=me.expires if me else None,
        epoch=authority.epoch,
        head=authority.head,
        policy=policy.issued if policy else None,
        beacon=authority.beacon.time if authority.beacon else None,
        is_revoked=bool(policy and identity in policy.revoked),
        is_amended=bool(authority.policy_record()[0]),
        gateways=config.get("gateways", []),
    )


def _policy(status: FolderStatus) -> str | None:
    if not status.policy:
        return None
    since = "amended since the whole policy of " if status.is_amended else ""
    return since + moment(status.policy)


def describe_folder(status: FolderStatus) -> dict[str, object]:
    """{label: text} of a folder's status."""
    member = "no: request membership with writ member request"
    if status.is_revoked:
        member = "revoked"
    elif status.expires is not None:
        member = f"until {moment(status.expires)}, address {status.address}"
    return {
        "name": status.name,
        "node id": status.node,
        "scope": f"{status.scope} ({_hex(status.scope_id)})" if status.scope else "none",
        "member": member,
        "roles": status.roles,
        "epoch": f"{status.epoch}, head {_hex(status.head)}" if status.epoch else "none",
        "policy": _policy(status),
        "beacon": moment(status.beacon) if status.beacon else "none",
        "gateways": status.gateways or "none",
    }
