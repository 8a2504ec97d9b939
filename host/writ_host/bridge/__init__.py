"""The MQTT bridge: a member that publishes readings, passes requests on and carries capsules."""
