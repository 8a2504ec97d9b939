"""A seeded world in which governors agree while everything that can go wrong does.

    World(plan(seed)).run()      # raises Violation, whose text names what broke, and when

Single-threaded, no clock and no randomness but the seed's: the same seed gives the same run. The
replicas are the production core; only network, disks, clocks and (for most seeds) cryptography are
the world's.
"""
