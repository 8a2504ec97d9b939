"""Every limit of the device core, with its reason: what bounds a table, a queue, a size or a number
of tries. No other file defines limits. Pauses and timings of a protocol are in the module of that
protocol.

A microcontroller with 110 kB of heap sets most of them. Units are in the names. A host serves many
devices and has larger tables, at the end, unless the environment has WRIT_LIMITS=device. A device
is linked with the plain numbers (build/shrink.py) and never loads this file.
"""

import os

from .compat import MICROPYTHON

# CBOR: the deepest structure is a capsule's route list (claims, claim, routes, route, links).
CBOR_DEPTH_MAX = 8
# Items in one array or map: a policy's largest list is 64 revoked ids.
CBOR_ITEMS_MAX = 128

# A capsule must be held, hashed and checked in RAM at once. A charter of 13 governors is about
# 650 bytes, a policy of 16 rules with 64 revoked ids about 1,000.
CAPSULE_BYTES_MAX = 1280
# Names are shown, typed and carried in every member capsule.
NAME_BYTES_MAX = 24
GOVERNORS_MAX = 13
RULES_MAX = 32
ROUTES_MAX = 16
REVOKED_MAX = 64
# Role bits 0..29: the largest set that is a small integer on a 32-bit MicroPython.
ROLES_MAX = 30
PATH_BYTES_MAX = 48
# Parts of a member's statement: a reason is a word or two, a voucher a signature, a request for
# membership a key and a name. With these a statement has 768 bytes at most.
REASON_BYTES_MAX = 40
VOUCHER_BYTES_MAX = 64
REQUEST_BYTES_MAX = 256
# Amendments kept after the last whole policy; beyond it a node asks for the whole one.
AMENDMENTS_MAX = 4
AMENDMENT_OPS_MAX = 16

# A short prefix of a policy's digest: it exposes a fork, the signature is what gives authority.
HEAD_BYTES = 6
# Successions of the group key, kept for nodes that missed them.
SUCCESSIONS_MAX = 8
# Actions that wait for their requests: a person gives one, or two for an exchange.
ACTIONS_MAX = 2
# The payload of an action travels in its statement, and operators must be able to read it.
ACTION_PAYLOAD_BYTES_MAX = 512
# Nonces of executed actions that have not expired: one flash write each, a few a day.
ACTIONS_SPENT_MAX = 8
# Digests of capsules that failed; remembered so that a repeat costs no signature check.
KNOWN_BAD_MAX = 8

# Member capsules of other nodes, with their keys (about 400 bytes of RAM each).
PEERS_MAX = 16
# Open OSCORE sessions (about 700 bytes of RAM each); the least recently used is dropped first.
SESSIONS_MAX = 6
# A peer that has lost its session in a restart makes a second one; more would displace others.
SESSIONS_A_PEER_MAX = 2
# Sessions with keys from the operator are never dropped, so others need room beside them.
PRESHARED_MAX = 4
# Handshakes under way: each holds an ephemeral key and two digests.
HANDSHAKES_MAX = 2
# Answers to requests that came to a group, for each asker and four times as many for all: a search
# repeats its request after 15 s. And answers that wait for the end of their leisure.
GROUP_ANSWER_BURST = 4
GROUP_ANSWER_REFILL_MS = 4000
GROUP_ANSWERS_MAX = 4
# Gateways that a search on the network keeps: each costs a session.
GATEWAYS_FOUND_MAX = 3
# Until then a peer may repeat message_1 and then message_3 (MAX_TRANSMIT_WAIT, RFC 7252, 4.8.2).
HANDSHAKE_TIMEOUT_MS = 93000
# Connection identifiers become OSCORE ids: nonce length (13) less 6 (RFC 8613, section 3.3).
CONNECTION_ID_BYTES_MAX = 7
# Stock peers take 4 EAD items a message; twice that leaves room without letting one fill the heap.
EAD_ITEMS_MAX = 8

# Replay window of RFC 8613, section 7.4.
REPLAY_WINDOW_BITS = 32
# Sequence numbers reserved by one flash write: 1/64 of a write a message, 127 lost a reset at most.
SEQUENCE_RESERVE = 64
# RFC 8613, section 7.2.1 allows 2**40 - 1; 2**23 keeps the AES-CCM usage limits with room to spare
# (draft-ietf-core-oscore-key-limits) and any partial IV within three bytes.
SEQUENCE_MAX = 8388607

# Expensive operations that a stranger may cause: a token bucket of so many, with one more each so
# many ms. The first pair is for the handshakes of all strangers together; the second is for the
# signature checks of each source, with four times as many for all sources together. A flood takes
# a part of a device's time and leaves the rest to its members.
HANDSHAKE_BURST = 4
HANDSHAKE_REFILL_MS = 4000
SIGNATURE_BURST = 8
SIGNATURE_REFILL_MS = 2000
# With fewer handshakes than this left in the bucket a stranger must return an Echo first.
HANDSHAKE_ECHO_BELOW = 3
ECHO_LIFETIME_MS = 60000
# Sources of traffic with a token bucket each; the least recently used one is dropped first.
RATE_LIMIT_SOURCES_MAX = 12

# A receive buffer is one piece of heap, and after a week of work a heap has few large pieces.
# A stock client's block of 512 bytes fits with its headers and OSCORE; larger bodies go in blocks.
DATAGRAM_BYTES_MAX = 640
TOKEN_BYTES_MAX = 8
# "host:port" from another node; enough for a long host name.
ADDRESS_BYTES_MAX = 64
# Members whose address is remembered: more than sessions, since a member without one is dropped.
ADDRESSES_MAX = 16
# Members that have this node's capsule, so that its kid is enough: as many as capsules of others.
INTRODUCED_MAX = 16
# Members that have claimed a newer epoch, and wait until they are asked for it again.
CLAIMANTS_MAX = 16
# Addresses for which the link keeps the form that a socket takes.
LINK_ADDRESSES_MAX = 16
# A frame on a serial line: a whole datagram, and 64 bytes for what the mesh puts around it, which
# are a header with its MIC (16), a source route (2 for each of 15 hops), the head of a fragment (2)
# and a byte of compression.
SERIAL_FRAME_BYTES_MAX = 704
# Each of a UART's two buffers: two of the longest frames. A line has no flow control, and frames
# arrive while a node checks a signature; a write on an ESP32 waits until the buffer has room.
SERIAL_BUFFER_BYTES = 1536
# Bytes read from a line at once: few calls for a frame, and no large piece of the heap.
SERIAL_CHUNK_BYTES = 256
# Reads in one call of a link's `receive`: more than the longest frame has. A line that never ends
# does not hold up the rest of the node.
SERIAL_CHUNKS = 4
OPTIONS_MAX = 24
OPTION_BYTES_MAX = 270
# Blocks of 2**(4 + 4) = 256 bytes by default: three fit the frames of slow links with headers.
BLOCK_SZX = 4
# On links without IP, which have fragments of their own: the largest that fits a datagram.
BLOCK_SZX_FRAMES = 5
BODY_BYTES_MAX = 2048
TRANSFERS_MAX = 2
# A client that sends no next block for so long has given up, and others need the room.
TRANSFER_TIMEOUT_MS = 60000
# Messages remembered for deduplication, so many of members and of others, and requests under way at
# one time.
DEDUP_MAX = 12
REQUESTS_MAX = 8
# RFC 7252, section 4.8: MAX_RETRANSMIT and the first transmission.
TRANSMISSIONS_MAX = 5
# New sessions, and observations that are registered again, of one call: it ends within minutes.
TRIES_MAX = 4
# Datagrams that are received in one step. If the last step has left more waiting, the node is too
# slow for all, and drops those of strangers but one in so many.
DATAGRAMS_A_STEP = 16
SHARE_OF_STRANGERS = 8
# Operations under way at host peers, one of each kind.
OPERATIONS_MAX = 4
# After so many "pending" answers in a row the next peer is asked: a peer may withhold in this way.
PENDING_MAX = 4
# The first pause before a peer is asked again for what it could not do yet; it doubles up to the
# second one.
PAUSE_MS = 2000
PAUSE_MS_MAX = 64000
# Doublings of a back-off: from host peers to 34 minutes, from a peer that claims epochs and does
# not deliver them to 32.
STRIKES_MAX = 8
PULL_TRIES_MAX = 7
OBSERVERS_MAX = 4
# A notification in so many is confirmable, so that a vanished observer is noticed (RFC 7641, 4.5).
OBSERVE_CON_EVERY = 8
# And at least once in 24 hours (RFC 7641, 4.5); an hour is left for a peer with an open exchange.
OBSERVE_CON_MS = 82800000
# An observer registers again if it has heard nothing for so long beyond the resource's period, or
# beyond this time if the resource has none: the server may have restarted.
OBSERVE_SLACK_S = 30
OBSERVE_IDLE_S = 600

# Neighbours with an account of their airtime (about 150 bytes of RAM each). Those beyond it share
# one account, so that forged addresses gain nothing and displace no other account.
AIRTIME_NEIGHBOURS_MAX = 16
# A neighbour gets this part of the airtime: a half serves a relay between a parent and one child.
AIRTIME_NEIGHBOUR_PARTS = 2
# A message between neighbours in the mesh: a datagram, one byte of header compression, and a list
# of 16 addresses, which is the longest way.
MESH_MESSAGE_BYTES_MAX = DATAGRAM_BYTES_MAX + 34
# Tiles of a message, counted in 5 bits: the largest message fits frames with 24 bytes of room.
FRAGMENT_COUNT_MAX = 32
# Silences in a row until a sender gives up, and repeated acknowledgements of a receiver. Where a
# fifth of all frames is lost in both directions, a silence is a matter of chance 36 times in 100.
FRAGMENT_TRIES_MAX = 10
# Frames for each tile and each try: they bound what a neighbour costs that acknowledges nonsense.
FRAGMENT_SENDS_MAX = 4
# Messages of members under way, one of each neighbour, and of nodes without a link key: the largest
# takes 700 bytes of heap. A newcomer waits until one is complete or idle.
REASSEMBLIES_MAX = 4
JOIN_REASSEMBLIES_MAX = 2
# Neighbours of a node: who hears more keeps those that speak most.
NEIGHBOURS_MAX = 16
# Origins whose roles a relay remembers (about 70 bytes of RAM each): the nodes behind it. A gateway
# has up to 250 nodes, on several relays. A relay that has more asks for capsules again and again.
ORIGINS_MAX = 128
# Frame counters reserved by one flash write.
FRAME_RESERVE = 256
# The previous link key is accepted for ten minutes after a new one: the time in which awake members
# ask for it.
LINK_KEY_OVERLAP_MS = 600000
# Messages in the queue of the mesh (up to 640 bytes each), a quarter of them for each source.
TRANSFERS_MESH_MAX = 8
# Transmissions of a frame that is not acknowledged, and of one to a neighbour that was heard since
# the last one: it is there, in a crowd. To give it up would make more traffic for all.
FRAME_TRIES_MAX = 4
FRAME_TRIES_HEARD_MAX = 6
# How often a neighbour may have its last message acknowledged again: after each repetition.
RECEIPTS_MAX = 5
# With so many frames in a row whose MIC is that of another key, a node asks for the link key anew.
DOUBTS_MAX = 3
# Greetings that are answered: a burst, and the ms until one more is.
GREETING_BURST = 4
GREETING_REFILL_MS = 2000
# Neighbours that took part in a broadcast capsule that was refused.
PART_SENDERS_MAX = 4
# Relays in a source route: hops of a route class are 4 bits.
HOPS_MAX = 15
# Source routes that a gateway knows.
ROUTES_KEPT_MAX = 32
# Sleeping children that a node keeps messages for: beyond it a child takes another parent.
SLEEPERS_MAX = 8
# Messages for one sleeping child, and bytes of all mailboxes: a request and its blocks, or requests
# of a few members. One child may have half of the bytes. What is more urgent displaces the rest.
MAILBOX_MESSAGES_MAX = 4
MAILBOX_BYTES_MAX = 2048
# A child that was silent for so many times its sleep is a lost neighbour: two polls may be lost.
WINDOWS_MISSED_MAX = 3
# The longest sleep: timers of a chip drift, and a day bounds how late a child learns of a policy.
SLEEP_S_MAX = 86400
# Neighbours in a report to the gateway: 7 bytes each, so that it fits one message.
REPORTED_MAX = 16
# How long a node that wants to sleep stays awake at most, for what it sends and is to get: joining
# over a slow link takes minutes, and a node without neighbours must not empty its battery.
AWAKE_S_MAX = 300
# Requests without protection that prolong a wake: handshakes, and for capsules. A member may send
# any number of them, and the node refuses all others.
AWAKE_PLAIN_MAX = 4
# Parents of a node: the one in use and those that take over.
PARENTS_MAX = 3
# Nodes that join, of which the link is remembered, and neighbours that a joining node has heard.
JOINERS_MAX = 8
CANDIDATES_MAX = 4
# Receipts and greetings that wait for a link: more mean a flood.
URGENT_MAX = 4
# Member capsules to ask neighbours for, and messages that wait for them.
MISSING_MAX = 4
PARKED_MAX = 2
# Airtime of the join class, in 1/1000 of an hour, for a node that knows no policy yet: that of most
# bands. A first contact at SF12 takes half of it without any loss. And frames of strangers that are
# handled: a burst, and the ms until one more is.
JOIN_AIRTIME_PERMILLE = 10
JOIN_FRAMES_BURST = 32
JOIN_FRAMES_REFILL_MS = 1000

# A line of a LoRa modem: 255 bytes as hex, with RSSI and SNR before them.
MODEM_LINE_BYTES_MAX = 544
# A frame is dropped when a modem has found the channel busy so many times.
MODEM_TRIES_MAX = 5

# Records in flash: the largest is a policy's payload with an amendment, each as long as a capsule
# may be. Writing one takes about five times as much of the heap.
RECORD_BYTES_MAX = 2560

# The log of a device: two files of so many bytes, which is two sectors of flash each. A line of it,
# and the lines that wait in memory: a traceback has some hundred bytes.
LOG_FILE_BYTES_MAX = 8192
LOG_LINE_BYTES_MAX = 200
LOG_PENDING_BYTES_MAX = 1024
# Starts in a row that fail before app.py is left out: a power cut or two at start are no fault.
STARTS_MAX = 3
# Networks in wifi.json: a round of tries takes 20 s for each that does not answer.
WIFI_NETWORKS_MAX = 8
# The longest step of a node, after which the watchdog bites: 16 datagrams, of which the burst of
# strangers costs eight handshakes and signature checks, each some seconds on a slow chip.
STEP_S_MAX = 60

if not MICROPYTHON and os.getenv("WRIT_LIMITS") != "device":
    # Enough for a thousand devices at one host: their capsules and addresses, sessions with those
    # that are active at the same time, and a return of all devices at once after a power cut. The
    # tables are searched from end to end, in less than a millisecond at these sizes.
    PEERS_MAX = 1024
    SESSIONS_MAX = 256
    HANDSHAKES_MAX = 16
    HANDSHAKE_BURST = 64
    HANDSHAKE_REFILL_MS = 50
    SIGNATURE_BURST = 64
    SIGNATURE_REFILL_MS = 50
    RATE_LIMIT_SOURCES_MAX = 512
    ADDRESSES_MAX = 1024
    INTRODUCED_MAX = 1024
    CLAIMANTS_MAX = 1024
    LINK_ADDRESSES_MAX = 1024
    TRANSFERS_MAX = 64
    DEDUP_MAX = 512
    REQUESTS_MAX = 64
    OBSERVERS_MAX = 128
    AIRTIME_NEIGHBOURS_MAX = 256
    REASSEMBLIES_MAX = 64
    JOIN_REASSEMBLIES_MAX = 16
    NEIGHBOURS_MAX = 256
    ORIGINS_MAX = 4096
    TRANSFERS_MESH_MAX = 64
    GREETING_BURST = 32
    GREETING_REFILL_MS = 200
    JOINERS_MAX = 64
    URGENT_MAX = 32
    MISSING_MAX = 64
    PARKED_MAX = 32
    SLEEPERS_MAX = 1024
    MAILBOX_MESSAGES_MAX = 16
    MAILBOX_BYTES_MAX = 262144
    ROUTES_KEPT_MAX = 4096
    GROUP_ANSWER_REFILL_MS = 200
    GROUP_ANSWERS_MAX = 64
