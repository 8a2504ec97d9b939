"""Fields of many nodes: the production mesh on a simulated LoRa channel, in virtual time.

What is real and what is simulated is in README.md. The order of imports: firmware, scope, ground,
link, member, field, then spread (what is measured), flood (what it is compared with), report and
picture.
"""
