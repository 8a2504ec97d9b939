"""A seeded simulator of the mesh: whole nodes, faults, and members that lie.

    world = World(plan(7))
    world.run()           # raises Violation

`plan` draws all faults from the seed; `world` has the air between the nodes and the course of a
run; `node` is one node with its flash; `liars` are what Byzantine members do; `checks` are the
invariants; `mutations` are the defects that the simulator must find. tools/sim.py runs many seeds.
"""
