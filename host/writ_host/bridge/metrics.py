"""The metrics of a bridge (scrape.py). Labels hold nothing secret: names of nodes and reasons."""

from ..node import meshmetrics
from ..scrape import Exporter

HELP = {
    "connected": "1 while there is a connection to the broker.",
    "nodes_online": "Nodes that answered the last read.",
    "epoch": "Policy epoch in force at the bridge.",
    "spool_messages": "Readings that wait for the broker.",
    "spool_bytes": "Bytes of these readings on the disk.",
    "connections": "Connections that were made to the broker.",
    "readings": "Readings that were taken.",
    "published": "Readings that the broker has acknowledged.",
    "dropped": "Readings that were dropped, because the spool was full or the disk failed.",
    "refused_by_broker": "Messages that the broker did not take.",
    "inbox_dropped": "Messages of the broker that were too long, or found no place.",
    "defects": "Messages that met a bug of this program and were dropped.",
    "capsules_taken": "Capsules of the broker that were accepted.",
    "capsules_published": "Capsules that were published, repairs included.",
    "capsules_refused": "Capsules of the broker that were refused, by reason.",
    "requests": "Requests from MQTT that nodes have carried out.",
    "requests_refused": "Requests from MQTT that were refused, by nodes and by the bridge.",
    "read_problems": "Reads without a value, by reason.",
    "rejections": "Rejections by the bridge's node, by name.",
    **meshmetrics.HELP,
}


def exporter() -> Exporter:
    """The exporter of a bridge's metrics."""
    return Exporter("writ_bridge_", HELP)
