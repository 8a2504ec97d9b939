"""Ceremonies by files: founding, signing and re-sharing among governors without a network.

Usually each governor runs its own process on its own machine, and they meet in a shared folder:

    identity = create_identity(path, name, key)         # once; later load_identity(path, key)
    roster = Roster.create(scope, threshold, [PublicIdentity.from_bytes(...), ...])  # for all
    folder = DirectoryFolder(path); store = KeyfileStore(path, key)

    seat = Founding(folder, identity, roster, store, compare).run(wait)         # -> Seat
    seat = load_seat(store)                             # afterwards: Seat or None
    seat.public.group_key                               # 32 B, for the charter

    request = publish_request(folder, identity, seat, title, [Item(label, sig_structure), ...])
    read_requests(folder, seat) -> ([SigningRequest, ...], {tag: error})
    signatures = Signing(folder, identity, seat, request, approve).run(wait)    # [64 B, ...]

`key` is a `keyfile.Passphrase(text)` or `keyfile.KeyFile(content)`. `compare(fingerprint) -> bool`
and `approve(request) -> bool` ask the operator. `wait(progress)` shows a `Progress` (step,
waiting_for, fingerprint, attempt, cheaters) and sleeps. Instead of `run`, a caller may call
`step()` itself. All errors are `errors.HostError`, with `.advice`.

    storage     the shared folder, and each governor's own store
    founding    the group key of a new scope
    request     what governors are asked to sign; signing: the signatures
    plan        a change of governors; re-sharing: its new key shares
    signguard   one policy state for each epoch
    keyring     the governors' keys on this machine
    progress    what a step reports; status: the same from the files alone
    local       all governors on this machine
"""
