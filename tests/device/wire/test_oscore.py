"""OSCORE: RFC 8613's vectors byte for byte, and messages that must be refused."""

import vectors_oscore as vectors
from harness import raises

from writ import cbor, crypto
from writ.errors import BadMessage, BadOption, DecryptionFailed, Rejection, UsageError
from writ.wire import coap
from writ.wire.coap import Message
from writ.wire.oscore import Context, decode_option, encode_option

SECRET = bytes(range(16))


def client_of(name, sequence=0):
    """The client's context of a derivation vector; its server has the ids the other way round."""
    secret, salt, id_context, sender, recipient = vectors.DERIVATION[name][:5]
    return Context(secret, salt or b"", sender, recipient, id_context, sequence)


def server_of(name, sequence=0):
    """The server's context of a derivation vector."""
    secret, salt, id_context, sender, recipient = vectors.DERIVATION[name][:5]
    return Context(secret, salt or b"", recipient, sender, id_context, sequence)


def pair():
    """(client, server): two contexts that belong together."""
    return Context(SECRET, b"", b"\x01", b"\x02"), Context(SECRET, b"", b"\x02", b"\x01")


def get(path="temp", payload=b""):
    """A GET request."""
    message = Message(coap.CON, coap.GET, 1, b"t", payload)
    message.add_path(path)
    return message


def copy(message):
    """The message after encoding and decoding."""
    return coap.decode(message.encode())


def sealed_by(context_key, nonce, kid, piv, plain, code=coap.POST):
    """A protected message made by hand, from any plaintext whatsoever."""
    external = cbor.encode([1, [10], kid, piv, b""])
    aad = cbor.encode(["Encrypt0", b"", external])
    message = Message(coap.CON, code, 7, b"t")
    message.payload = crypto.aes_ccm_encrypt(context_key, nonce, aad, plain)
    message.add(coap.OSCORE, encode_option(kid, piv))
    return message


# --- vectors --------------------------------------------------------------------------------------


def test_derivation_and_nonces_of_appendix_c():
    # keys, IV and nonce show in what is sent: the ciphertext that the vector's own values give
    for name in vectors.DERIVATION:
        sender, recipient, sender_key, recipient_key = vectors.DERIVATION[name][3:7]
        sender_nonce, recipient_nonce = vectors.DERIVATION[name][8:]
        sealed, binding = client_of(name).protect_request(get())
        plain = b"\x01\xb4temp"
        assert sealed.payload == sealed_by(sender_key, sender_nonce, sender, b"\x00", plain).payload
        assert binding == (sender, b"\x00", sender_nonce)
        # the other direction, received and sent
        message = sealed_by(recipient_key, recipient_nonce, recipient, b"\x00", plain)
        opened, binding, number = client_of(name).unprotect_request(copy(message))
        assert opened.path() == "temp" and number == 0 and binding[2] == recipient_nonce
        sealed, _ = server_of(name).protect_request(get())
        assert sealed.payload == message.payload


def test_requests_c_4_to_c_6():
    for name, context, sequence, with_context, unprotected, protected in vectors.REQUESTS:
        client = client_of(context, sequence)
        sealed, binding = client.protect_request(coap.decode(unprotected), with_context)
        assert sealed.encode() == protected, name
        assert client.sequence == sequence + 1
        opened, server_binding, number = server_of(context).unprotect_request(
            coap.decode(protected)
        )
        assert number == sequence and server_binding == binding
        # the outer Uri-Host is not used
        expected = coap.decode(unprotected)
        assert opened.code == expected.code and opened.path() == expected.path() == "tv1"
        assert opened.option(coap.URI_HOST) is None and opened.payload == b""


def test_responses_c_7_and_c_8():
    for name, answers, sequence, unprotected, protected in vectors.RESPONSES:
        request = [item for item in vectors.REQUESTS if item[0] == answers][0]
        client = client_of(request[1], request[2])
        _, client_binding = client.protect_request(coap.decode(request[4]))
        server = server_of(request[1], sequence or 0)
        _, binding, _ = server.unprotect_request(coap.decode(request[5]))
        own_piv = sequence is not None
        sealed = server.protect_response(coap.decode(unprotected), binding, own_piv)
        assert sealed.encode() == protected, name
        opened, number = client.unprotect_response(coap.decode(protected), client_binding)
        assert number == sequence and opened.code == coap.CONTENT
        assert opened.payload == b"Hello World!"


# --- the option -----------------------------------------------------------------------------------


def test_option_values_of_section_6_3_and_back():
    for kid, piv, kid_context, text in (
        (b"\x25", b"\x05", None, "090525"),
        (b"", b"\x00", None, "0900"),
        (b"", b"\x05", bytes.fromhex("44616c656b"), "19050544616c656b"),
        (None, b"\x07", None, "0107"),
        (None, b"", None, ""),
        (b"", b"", None, "08"),
        (b"kid", b"\xff\x00\x00\x00\x01", b"", "1dff0000000100" + b"kid".hex()),
        (None, b"", b"c", "100163"),
    ):
        value = bytes.fromhex(text)
        assert encode_option(kid, piv, kid_context) == value
        assert decode_option(value) == (kid, piv, kid_context)
    assert decode_option(None) == (None, b"", None)


def test_option_codec_is_strict():
    for text in (
        "00",  # a zero byte alone is not the shortest
        "0000",
        "0e000000000000",  # partial IV of 6 and 7 bytes: reserved
        "0f00000000000000",
        "20",  # reserved flags
        "40",
        "80",
        "8900",
        "290525",
        "01",  # partial IV cut short
        "09",
        "0a01",
        "0dffffffff",
        "0a0005",  # partial IV with a leading zero
        "0b000005",
        "0a0000",
        "10",  # kid context cut short
        "1105",
        "190503aabb",
        "110501aabb",  # bytes after the end
        "010525",
    ):
        raises(BadOption, decode_option, bytes.fromhex(text))


def test_every_option_of_three_bytes_has_one_meaning():
    # every option that decodes has exactly the encoding of its meaning
    for number in range(1 << 16):
        value = bytes((number >> 8, number & 255, 5))
        try:
            kid, piv, kid_context = decode_option(value)
        except BadOption:
            continue
        assert encode_option(kid, piv, kid_context) == value


# --- what must not open ---------------------------------------------------------------------------


def test_no_flipped_bit_opens_a_request():
    client, server = pair()
    message = get(payload=b"body")
    message.add(coap.URI_HOST, "host")
    sealed, _ = client.protect_request(message)
    datagram = sealed.encode()
    plain = server.unprotect_request(coap.decode(datagram))[0]
    opened = 0
    for i in range(8 * len(datagram)):
        flipped = bytearray(datagram)
        flipped[i >> 3] ^= 1 << (i & 7)
        try:
            found = server.unprotect_request(coap.decode(bytes(flipped)))[0]
        except Rejection:
            continue
        # type, message id, token, outer code and Uri-Host are not protected
        opened += 1
        assert (found.code, found.options, found.payload) == (
            plain.code,
            plain.options,
            plain.payload,
        )
    # 1 bit of the type, 8 of the code less reserved ones, 16 + 8 of id and token, host and more
    assert 0 < opened < 8 * (4 + 1 + 1 + 5)


def test_no_flipped_bit_opens_a_response():
    client, server = pair()
    sealed, binding = client.protect_request(get())
    _, server_binding, _ = server.unprotect_request(copy(sealed))
    answer = Message(coap.ACK, coap.CONTENT, 1, b"t", b"21.5")
    for own_piv in (False, True):
        payload = server.protect_response(answer, server_binding, own_piv)
        good, _ = client.unprotect_response(copy(payload), binding)
        assert good.payload == b"21.5"
        for i in range(8 * len(payload.payload)):
            flipped = bytearray(payload.payload)
            flipped[i >> 3] ^= 1 << (i & 7)
            bad = copy(payload)
            bad.payload = bytes(flipped)
            raises(DecryptionFailed, client.unprotect_response, bad, binding)


def test_an_answer_belongs_to_its_request():
    client, server = pair()
    one, one_binding = client.protect_request(get("temp"))
    two, two_binding = client.protect_request(get("pump"))
    _, binding, _ = server.unprotect_request(copy(one))
    answer = Message(coap.ACK, coap.CONTENT, 1, b"t", b"21.5")
    for own_piv in (False, True):
        sealed = server.protect_response(answer, binding, own_piv)
        assert client.unprotect_response(copy(sealed), one_binding)
        raises(DecryptionFailed, client.unprotect_response, copy(sealed), two_binding)
    # a request opens neither as an answer nor at its sender
    raises(BadOption, client.unprotect_request, copy(one))
    raises(DecryptionFailed, client.unprotect_response, copy(two), two_binding)


def test_a_partial_iv_of_another_message_does_not_open():
    client, server = pair()
    one, _ = client.protect_request(get())
    moved = copy(one)
    moved.options = [(coap.OSCORE, encode_option(b"\x01", b"\x05"))]
    raises(DecryptionFailed, server.unprotect_request, moved)


def test_requests_without_what_they_need():
    client, server = pair()
    sealed, _ = client.protect_request(get())
    for value in (b"", b"\x08\x01", b"\x01\x00", b"\x09\x00\x02", b"\x09\x00", b"\x09\x00\x01\x00"):
        bad = copy(sealed)
        bad.options = [(coap.OSCORE, value)]
        raises(BadOption, server.unprotect_request, bad)
    bad = copy(sealed)
    bad.options = []
    raises(BadOption, server.unprotect_request, bad)
    for payload in (b"", b"12345678"):
        bad = copy(sealed)
        bad.payload = payload
        raises(BadMessage, server.unprotect_request, bad)


def test_a_member_may_seal_anything_and_gets_no_more_than_a_rejection():
    sender, recipient, _, key = vectors.DERIVATION["C.1.1"][3:7]
    nonce = vectors.DERIVATION["C.1.1"][9]
    server = client_of("C.1.1")
    for plain, rejection in (
        (b"\x00", BadMessage),  # the empty code is no request
        (b"\x45", BadMessage),  # nor is a response
        (b"\x20", BadMessage),
        (b"\xff", BadMessage),
        (b"\x01\xff", BadMessage),  # a payload marker and no payload
        (b"\x01\xf0", BadMessage),
        (b"\x01\xb5temp", BadMessage),
        (b"\x01\xb1\xff", BadMessage),  # a path that is not UTF-8
        (b"\x01\x91\x00", BadOption),  # an OSCORE option inside
        (b"\x01\x31a", BadOption),  # Uri-Host belongs outside
    ):
        message = sealed_by(key, nonce, recipient, b"\x00", plain)
        error = raises(Rejection, server.unprotect_request, copy(message))
        assert type(error) is rejection, plain
    # and the same in answers
    client, binding = server, (sender, b"\x00", nonce)
    for plain in (b"\x01", b"\x00", b"\x60", b"\xe0", b"\x1f"):
        message = sealed_by(key, nonce, sender, b"\x00", plain, coap.CHANGED)
        message.options = [(coap.OSCORE, b"")]
        raises(BadMessage, client.unprotect_response, copy(message), binding)


def test_outer_options_are_not_believed():
    client, server = pair()
    sealed, _ = client.protect_request(get("temp"))
    sealed.add(coap.URI_PATH, "pump")
    sealed.add(coap.OBSERVE, 0)
    opened, _, _ = server.unprotect_request(copy(sealed))
    assert opened.path() == "temp" and opened.option(coap.OBSERVE) is None


def test_observe_is_inside_and_outside():
    client, server = pair()
    message = get()
    message.add(coap.OBSERVE, 0)
    sealed, _ = client.protect_request(message)
    assert sealed.code == coap.FETCH and sealed.option(coap.OBSERVE) == b""
    opened, binding, _ = server.unprotect_request(copy(sealed))
    assert opened.option(coap.OBSERVE) == b"" and opened.code == coap.GET
    answer = Message(coap.ACK, coap.CONTENT, 1, b"t", b"21.5")
    answer.add(coap.OBSERVE, 5)
    sealed = server.protect_response(answer, binding, True)
    assert sealed.code == coap.CONTENT and sealed.option_uint(coap.OBSERVE) == 5


def test_contexts_are_made_of_two_different_short_ids():
    raises(UsageError, Context, SECRET, b"", b"\x01", b"\x01")
    raises(UsageError, Context, SECRET, b"", b"12345678", b"\x01")
    raises(UsageError, Context, SECRET, b"", b"\x01", b"12345678")
    assert Context(SECRET, b"", b"1234567", b"")


def test_each_input_of_the_derivation_changes_the_keys():
    base = (SECRET, b"salt", b"\x01", b"\x02", b"ctx")
    sealed, _ = Context(*base).protect_request(get())
    found = [sealed.payload]
    for i, value in ((0, SECRET[1:]), (1, b""), (2, b"\x03"), (4, None), (4, b"")):
        changed = list(base)
        changed[i] = value
        sealed, _ = Context(*changed).protect_request(get())
        assert sealed.payload not in found
        found.append(sealed.payload)
