"""A governor as a process: peering with the others, the ledger, the core, the daemon.

the process         daemon.py the loop; running.py signals and the service manager; layout.py its
                    folder, backup.py a copy of it; metrics.py; control.py the operator's socket,
                    desk.py what it answers
the core            core.py joins consensus (../consensus/) with all of these, without sockets:
                    context.py what they share; state.py where the chain stands; messages.py
  proposals         proposals.py the table, proposing.py what becomes of it, approvals.py
                    operators' words, judge.py what this governor signs, certifying.py members,
                    beacons and actions, promised.py names for newcomers, clocks.py who is off
  devices           statement.py what a member asks for, drafts.py the proposal that it becomes
the ledger          ledgerfile.py the database, capsulestore.py what was certified, ledger.py all
                    else, timedledger.py the one that ends the daemon when a write fails
among governors     peersocket.py, peering.py the transport; peersession.py, peerhandshake.py,
                    peerframes.py its parts; turns.py whose message is next; addresses.py where
                    they are, record.py who they are
to strangers        front.py a plain request to found
ceremonies          ceremonies.py all of one daemon; ceremonytable.py, ceremonyfiles.py, slots.py
                    what is kept; ceremonyviews.py what comes out; gossip.py how files go round
  one of them       ceremonyrun.py, and of its kinds foundingrun.py, handoverrun.py; what it is
                    about: invitation.py, genesis.py, changes.py
  what follows      seating.py the committee's name, takeover.py new shares put in force,
                    joining.py who comes and goes, memberships.py capsules that renew themselves
the scope node      scopenode.py what devices speak with, spread.py a new policy handed to them

The machines of ceremonies, which know neither daemon nor gossip, are one folder up: founding.py,
resharing.py, signing.py.
"""
