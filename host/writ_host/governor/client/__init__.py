"""What an operator's commands do at running governors: certify, found a scope, change governors.

    connection.py   the daemon that certifies for a scope's folder, and the folder's sync
    following.py    a connection that waits while the daemon is offline
    issuer.py       has drafts certified by a daemon
    founding.py     invites running daemons to found a scope, and fetches the result
    change.py       follows a change of governors until it is in force
    backup.py       a backup of a governor whose daemon may run
    summary.py      a proposal's or ceremony's state as a text

These modules ask the daemon through its control socket, or over CoAP. They print nothing:
`announce(text)` takes the progress.
"""
