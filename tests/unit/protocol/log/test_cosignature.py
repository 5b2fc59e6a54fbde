"""Cosignatures as C2SP tlog-cosignature writes them, in both forms."""

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify
from protocol.log.cosignature import (
    Ed25519Cosigner,
    KeyType,
    MlDsaCosigner,
    VerifierKey,
    cosignature_time,
    cosignatures,
    cosigning_site,
    ed25519_message,
    ml_dsa_message,
    parse_verifier_key,
    site_cosigner,
    verify_cosignature,
)
from protocol.log.signed_note import (
    Checkpoint,
    SignatureLine,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    parse_lines,
    sign_note,
    split_note,
    with_lines,
)

#: The example of the specification.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501  (as it is published)
#: The example of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""  # noqa: E501
TEXT = checkpoint_text("example.org/log", 3, bytes(range(32)))
LOG = SigningKey.from_bytes(bytes(32))
EAST = Ed25519Cosigner.of_site("east", SigningKey.from_bytes(b"e" * 32))
WEST = Ed25519Cosigner.of_site("west", SigningKey.from_bytes(b"w" * 32))
QUANTUM = MlDsaCosigner("witness.example.org/pq", b"q" * 32)


def cosigned(*lines: SignatureLine) -> bytes:
    return with_lines(sign_note(TEXT, "example.org/log", LOG), lines)


def test_the_example_of_the_specification_is_read_to_the_byte() -> None:
    text, (log, witness) = split_note(EXAMPLE.encode())
    assert parse_checkpoint(text).size == 20852163
    assert (log.name, witness.name) == ("example.com/behind-the-sofa", "witness.example.com/w1")
    assert cosignature_time(witness) == 1679315147
    assert with_lines((text + "\n").encode(), [log, witness]) == EXAMPLE.encode()
    assert ed25519_message(text, 1679315147).decode() == (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_the_note_of_the_go_project_verifies_under_its_key() -> None:
    key = parse_verifier_key(GO_KEY)
    assert (key.type, key.key_id.hex(), key.text) == (KeyType.ED25519, "c74f20a3", GO_KEY)
    assert open_note(GO_NOTE.encode(), key.name, key.public).startswith("If you think")


@pytest.mark.parametrize("cosigner", [EAST, QUANTUM], ids=["Ed25519", "ML-DSA-44"])
def test_a_cosignature_verifies_over_its_head_time_and_key_only(
    cosigner: Ed25519Cosigner | MlDsaCosigner,
) -> None:
    line = cosigner.cosign(TEXT, 7)
    assert verify_cosignature(cosigner.key, TEXT, line) == 7
    assert parse_lines(line.text.encode()) == [line]
    later = SignatureLine(
        name=line.name, key_id=line.key_id, signature=(8).to_bytes(8, "big") + line.signature[8:]
    )
    other = checkpoint_text("example.org/log", 4, bytes(range(32)))
    for text, spoilt in ((other, line), (TEXT, later)):
        with pytest.raises(MessageRefused, match="not valid for this key"):
            verify_cosignature(cosigner.key, text, spoilt)
    with pytest.raises(MessageRefused, match="not this cosigner's"):
        verify_cosignature(WEST.key, TEXT, line)


def test_the_struct_of_the_specification_is_what_ml_dsa_signs() -> None:
    head = Checkpoint(origin="example.org/log", size=3, root=bytes(range(32)))
    assert ml_dsa_message("w/1", head, 258) == (
        b"subtree/v1\n\x00" + b"\x03w/1" + bytes(6) + b"\x01\x02" + b"\x0fexample.org/log"
        + bytes(8) + bytes(7) + b"\x03" + bytes(range(32))
    )  # fmt: skip
    line = QUANTUM.cosign(TEXT, 258)
    message = ml_dsa_message(QUANTUM.key.name, head, 258)
    MLDSA44PublicKey.from_public_bytes(QUANTUM.key.public).verify(line.signature[8:], message)
    assert len(line.signature) == 8 + 2420


def test_an_ml_dsa_cosignature_does_not_cover_extension_lines() -> None:
    """As the specification says; an Ed25519 one covers them."""
    extended = TEXT + "more\n"
    assert verify_cosignature(QUANTUM.key, extended, QUANTUM.cosign(TEXT, 1)) == 1
    with pytest.raises(MessageRefused, match="not valid for this key"):
        verify_cosignature(EAST.key, extended, EAST.cosign(TEXT, 1))


def test_key_identifiers_name_type_and_name() -> None:
    public = bytes(range(32))
    kinds = (KeyType.ED25519, KeyType.ED25519_COSIGNER)
    keys = [VerifierKey(name=name, type=kind, public=public) for name in "ab" for kind in kinds]
    assert len({key.key_id for key in keys}) == 4
    for key in keys:
        assert parse_verifier_key(key.text) == key


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "name"),
        ("name+00000000+AAAA", "name"),
        (GO_KEY.replace("c74f20a3", "c74f20a4"), "not that key's"),
        (GO_KEY.replace("+ARpc", "+CRpc"), "name"),
        (GO_KEY[:-4], "name"),
        (GO_KEY.replace("PeterNeumann", "Peter Neumann"), "name"),
        (GO_KEY + "\n", "name"),
        ("\udcff" + GO_KEY, "name"),  # a byte of a file that is not UTF-8
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str, why: str) -> None:
    with pytest.raises(MessageRefused, match=why):
        parse_verifier_key(text)


def test_unknown_lines_are_skipped_and_a_key_counts_once() -> None:
    stranger = Ed25519Cosigner("stranger", SigningKey.from_bytes(b"s" * 32))
    namesake = Ed25519Cosigner(EAST.key.name, SigningKey.from_bytes(b"n" * 32))
    lines = [one.cosign(TEXT, 5) for one in (stranger, namesake, EAST, WEST)]
    note = cosigned(*lines, EAST.cosign(TEXT, 9))
    found = cosignatures(note, [WEST.key, EAST.key, EAST.key, QUANTUM.key])
    assert [(one.key, one.time) for one in found] == [(WEST.key, 5), (EAST.key, 9)]


def test_a_wrong_line_of_a_known_key_spoils_the_note() -> None:
    line = EAST.cosign(TEXT, 5)
    wrong = SignatureLine(name=line.name, key_id=line.key_id, signature=line.signature[:-1] + b"x")
    for signature in (wrong.signature, line.signature[:4], b"\xff" * 72):
        spoilt = SignatureLine(name=line.name, key_id=line.key_id, signature=signature)
        with pytest.raises(MessageRefused):
            cosignatures(cosigned(WEST.cosign(TEXT, 5), spoilt), [EAST.key])
        assert cosignatures(cosigned(WEST.cosign(TEXT, 5), spoilt), [WEST.key])


def test_no_signature_of_the_protocol_passes_for_a_cosignature_and_none_the_other_way() -> None:
    key = SigningKey.from_bytes(b"e" * 32)
    public = site_cosigner("east", key.public)
    stamped = (5).to_bytes(8, "big")
    for domain in ("cosignature", "masked", "v1"):
        signature = stamped + key.sign(domain, ed25519_message(TEXT, 5))
        line = SignatureLine(name=public.name, key_id=public.key_id, signature=signature)
        with pytest.raises(MessageRefused, match="not valid for this key"):
            verify_cosignature(public, TEXT, line)
        with pytest.raises(MessageRefused, match="not valid for this key"):
            own = EAST.cosign(TEXT, 5).signature[8:]
            verify(key.public, domain, ed25519_message(TEXT, 5), own)


def test_a_hospital_is_found_by_the_name_under_which_it_cosigns() -> None:
    assert cosigning_site(EAST.key.name) == "east"
    assert cosigning_site("witness.example.org/w1") is None


def test_the_line_of_a_log_is_no_cosignature() -> None:
    log = VerifierKey(name="example.org/log", type=KeyType.ED25519, public=LOG.public)
    assert cosignatures(cosigned(), [log]) == []


@pytest.mark.parametrize("time", [-1, 2**63])
def test_a_time_out_of_range_is_refused(time: int) -> None:
    with pytest.raises(ValueError, match="seconds since 1970"):
        EAST.cosign(TEXT, time)
    with pytest.raises(ValueError, match="seconds since 1970"):
        QUANTUM.cosign(TEXT, time)
