"""The demonstration: a whole scope on this machine, with real processes, and proofs of each claim.

runner.py runs the steps in order. Each step acts on the testbed and checks the result. command.py
is `writ demo`, proofs.py collects the proofs, and view.py shows them.
"""
