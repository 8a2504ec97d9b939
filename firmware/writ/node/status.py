"""What a node tells of itself at writ/status, loaded when it is asked for."""


def status(context, now_ms):
    """The content of writ/status: a dict that CBOR can hold. context: the `NodeContext`."""
    authority = context.authority
    found = {
        "name": authority.me.name if authority.me else context.name,
        "scope": authority.scope,
        "epoch": authority.epoch,
        "head": authority.head,
        "time": authority.now_s(now_ms),
        "policy": authority.policy.issued if authority.policy else None,
        "amended": bool(authority.policy_record()[0]),
        "beacon": authority.beacon.time if authority.beacon else None,
        "beacon_age_s": authority.beacon_age_s(now_ms),
        "sessions": len(context.sessions),
        "uptime_s": now_ms // 1000,
        "rejected": context.counters,
    }
    if context.mesh_report:
        found["mesh"] = context.mesh_report(now_ms)
    return found
