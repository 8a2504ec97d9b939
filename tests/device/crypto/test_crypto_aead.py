"""AES-CCM-16-64-128, and the AES that stands in where `cryptolib` is missing."""

from harness import raises
from vectors_aead import AES_CBC, AES_ECB, CCM

from writ import aes, compat, crypto
from writ.errors import DecryptionFailed, UsageError

_KEY = bytes(range(16))
_NONCE = bytes(range(13))


def test_ccm_vectors_both_ways():
    assert len(CCM) == 15
    for vector in CCM:
        key, nonce, aad, plaintext, ciphertext = [bytes.fromhex(field) for field in vector]
        assert crypto.aes_ccm_encrypt(key, nonce, aad, plaintext) == ciphertext
        assert crypto.aes_ccm_decrypt(key, nonce, aad, ciphertext) == plaintext


def test_ccm_every_flipped_bit_is_noticed():
    key, nonce, aad, _, ciphertext = [bytes.fromhex(field) for field in CCM[0]]
    for i in range(len(ciphertext) * 8):
        forged = bytearray(ciphertext)
        forged[i // 8] ^= 1 << i % 8
        raises(DecryptionFailed, crypto.aes_ccm_decrypt, key, nonce, aad, bytes(forged))
    for i in range(len(aad)):
        forged = bytearray(aad)
        forged[i] ^= 0x80
        raises(DecryptionFailed, crypto.aes_ccm_decrypt, key, nonce, bytes(forged), ciphertext)


def test_ccm_wrong_nonce_or_key_is_noticed():
    sealed = crypto.aes_ccm_encrypt(_KEY, _NONCE, b"a", b"plaintext")
    raises(DecryptionFailed, crypto.aes_ccm_decrypt, _KEY, bytes(13), b"a", sealed)
    raises(DecryptionFailed, crypto.aes_ccm_decrypt, bytes(16), _NONCE, b"a", sealed)
    raises(DecryptionFailed, crypto.aes_ccm_decrypt, _KEY, _NONCE, b"", sealed)
    raises(DecryptionFailed, crypto.aes_ccm_decrypt, _KEY, _NONCE, b"aa", sealed)


def test_ccm_bytes_do_not_move_between_aad_and_plaintext():
    # equal concatenations, cut differently
    one = crypto.aes_ccm_encrypt(_KEY, _NONCE, b"ab", b"c")
    two = crypto.aes_ccm_encrypt(_KEY, _NONCE, b"a", b"bc")
    assert one[-8:] != two[-8:]


def test_ccm_all_sizes_around_blocks():
    for aad_size in (0, 1, 13, 14, 15, 30):
        for size in (0, 1, 15, 16, 17, 48):
            plaintext = bytes(range(size))
            sealed = crypto.aes_ccm_encrypt(_KEY, _NONCE, bytes(aad_size), plaintext)
            assert len(sealed) == size + 8
            assert crypto.aes_ccm_decrypt(_KEY, _NONCE, bytes(aad_size), sealed) == plaintext
            truncated = sealed[:-1]
            raises(
                DecryptionFailed, crypto.aes_ccm_decrypt, _KEY, _NONCE, bytes(aad_size), truncated
            )


def test_ccm_shorter_than_a_tag_is_rejected():
    for size in range(8):
        raises(DecryptionFailed, crypto.aes_ccm_decrypt, _KEY, _NONCE, b"", bytes(size))


def test_ccm_wrong_sizes_are_the_callers_fault():
    for key, nonce in ((_KEY[:15], _NONCE), (_KEY * 2, _NONCE), (_KEY, _NONCE[:12]), (_KEY, b"")):
        raises(UsageError, crypto.aes_ccm_encrypt, key, nonce, b"", b"")
        raises(UsageError, crypto.aes_ccm_decrypt, key, nonce, b"", bytes(8))


def test_aes_fips_197():
    for module_ecb in (aes.aes_ecb, compat.aes_ecb):
        for vector in AES_ECB:
            key, plaintext, ciphertext = [bytes.fromhex(field) for field in vector]
            assert module_ecb(key).encrypt(plaintext) == ciphertext
            assert module_ecb(key).encrypt(plaintext * 3) == ciphertext * 3


def test_aes_cbc_sp_800_38a_chains_over_calls():
    key, iv, plaintext, ciphertext = [bytes.fromhex(field) for field in AES_CBC[0]]
    for module_cbc in (aes.aes_cbc, compat.aes_cbc):
        assert module_cbc(key, iv).encrypt(plaintext) == ciphertext
        cipher = module_cbc(key, iv)
        assert cipher.encrypt(plaintext[:32]) + cipher.encrypt(plaintext[32:]) == ciphertext


def test_aes_wrong_sizes():
    raises(ValueError, aes.aes_ecb, bytes(24))
    raises(ValueError, aes.aes_cbc, bytes(16), bytes(15))
    raises(ValueError, aes.aes_ecb(bytes(16)).encrypt, bytes(17))
