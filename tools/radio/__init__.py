"""A simulated LoRa channel, emulated modems on ptys, and what radio time costs a battery.

Imports run down this list:
    scene, control, report, speed   what the command line is made of
    loop, pty                       real time and real ports
    modems                          AT dialects and registers of real modules
    channel                         transmissions, collisions, receptions
    pathloss, phy, timeline, energy the physics, the clock, the currents
"""
