"""A seeded simulator of governors that agree in spite of faults.

    World(plan(seed)).run()      # raises Violation, which names the broken invariant and the time

It has one thread, no clock, and no randomness but the seed's, so the same seed gives the same run.
The replicas are the production core. Network, disks, clocks and (for most seeds) cryptography are
simulated.
"""
