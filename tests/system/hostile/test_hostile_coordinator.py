"""What a coordinator tries that wants one hospital's update: a refusal, or uniform bits.

Played by hand over the real silos: ``SecAggServer`` is too honest to lie. It signs
whatever it likes, delivers what it likes to whom it likes, asks again and in
any order, and colludes with hospitals that give it their keys and shares and
keep no signing record.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from protocol.errors import MessageRefused, OutOfOrder, SumRefused
from protocol.identity.roster import COORDINATOR, Member, SigningKey
from protocol.secagg.client import SecAggClient, opened_round
from protocol.secagg.context import round_context
from protocol.secagg.encrypted_shares import SiloSecrets, deal_shares
from protocol.secagg.masking import apply_masks, mask_private_key, ring_dtype, self_key
from protocol.secagg.messages import (
    ENTRY_BYTES,
    Advertise,
    AdvertList,
    Consistency,
    Reveal,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    digest_of_blobs,
    digest_of_messages,
    header_of,
    pieces,
    sign_message,
)
from protocol.secagg.secret_sharing import OPENING_BYTES, combine, parse_opening
from protocol.secagg.server import SecAggServer, Step
from protocol.transport.steps import Reply, Request
from protocol.vectors.tensors import Tensors, decode_tensors, encode_tensors
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation as Consortium
from tests.support.simulated.studies import small_study
from tests.support.simulated.sum_federation import (
    FIRST,
    LEDGER_HEAD,
    STEPS,
    Federation,
    MemoryGuard,
    reached,
)

# --- U1: whose keys are used -----------------------------------------------------------------


def adverts_of(federation: Federation) -> dict[str, bytes]:
    return dict(federation.opened_request(Step.SHARE, AdvertList).adverts)


def secrets_of(federation: Federation, site: str) -> SiloSecrets:
    own = federation.silos[site]._secrets
    assert own is not None
    return own


def refuse_adverts(federation: Federation, adverts: Mapping[str, bytes], message: str) -> None:
    request = federation.from_coordinator(AdvertList(adverts=adverts))
    with pytest.raises(MessageRefused, match=message):
        federation.silos[FIRST].share(request)


def test_substituted_advert_key_is_refused() -> None:
    federation = reached(Step.SHARE)
    mine = SiloSecrets.fresh(federation.context, "site-01").advert()
    forged = sign_message(
        mine, context=federation.context.digest, sender="site-01", key=federation.coordinator_key
    )
    adverts = {**adverts_of(federation), "site-01": forged}
    refuse_adverts(federation, adverts, "not valid for this key")


def test_key_replaced_inside_a_signed_advert_is_refused() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    own = secrets_of(federation, "site-01").advert().mask_public.hex().encode()
    mine = SiloSecrets.fresh(federation.context, "site-01").advert().mask_public.hex().encode()
    adverts["site-01"] = adverts["site-01"].replace(own, mine)
    refuse_adverts(federation, adverts, "not valid for this key")


def test_unsigned_member_is_refused() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    adverts["site-01"] = bytes(64) + adverts["site-01"][64:]
    refuse_adverts(federation, adverts, "not valid for this key")


def test_advert_under_another_members_name_is_refused() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    adverts["site-01"] = adverts["site-02"]
    refuse_adverts(federation, adverts, "is not from site-01")


def test_reflected_key_is_refused() -> None:
    federation = reached(Step.SHARE)
    copied = federation.from_site("site-01", secrets_of(federation, "site-02").advert())
    refuse_adverts(federation, {**adverts_of(federation), "site-01": copied}, "same public key")


def test_second_advert_in_the_silos_own_name_is_refused() -> None:
    federation = reached(Step.SHARE)
    other = federation.from_site(FIRST, SiloSecrets.fresh(federation.context, FIRST).advert())
    adverts = {**adverts_of(federation), FIRST: other}
    refuse_adverts(federation, adverts, "another advert than this silo's own")


def test_u1_that_leaves_the_silo_out_is_refused() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    del adverts[FIRST]
    refuse_adverts(federation, adverts, "U1 leaves this silo out")


def test_second_u1_for_one_silo_is_refused_and_the_first_gets_the_same_shares() -> None:
    federation = reached(Step.SHARE)
    adverts, request = adverts_of(federation), federation.request(Step.SHARE)
    sealed = federation.silos[FIRST].share(request)
    fewer = {site: adverts[site] for site in federation.sites[:4]}
    refuse_adverts(federation, fewer, "another U1 was accepted before")
    assert federation.silos[FIRST].share(request) == sealed


# --- sybils and rosters ----------------------------------------------------------------------


def test_sybil_in_u1_is_refused() -> None:
    federation = reached(Step.SHARE)
    sybil = SigningKey.generate()
    advert = sign_message(
        SiloSecrets.fresh(federation.context, "sybil").advert(),
        context=federation.context.digest,
        sender="sybil",
        key=sybil,
    )
    adverts = {**adverts_of(federation), "sybil": advert}
    refuse_adverts(federation, adverts, "U1 names sybil, which was not in the step before")


def test_sybil_in_u2_is_refused() -> None:
    federation = reached(Step.MASKED)
    headers = headers_of(federation)
    headers["sybil"] = headers["site-01"]
    refuse_senders(federation, headers, federation.entries(), "U2 names sybil")


def test_sybil_in_u3_is_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    blobs = {**federation.coordinator.blob_hashes, "sybil": "0" * 64}
    refuse_survivors(federation, blobs, "U3 names sybil")


def opened(federation: Federation, *, site: str = FIRST, **changes: object) -> SecAggClient:
    """Returns a silo's machine for a context that the coordinator has changed."""
    return SecAggClient(
        context=replace(federation.context, **changes),  # type: ignore[arg-type]
        site=site,
        key=federation.keys[FIRST],
        roster=federation.roster,
        coordinator_public=federation.coordinator_key.public,
        guard=MemoryGuard(),
    )


def test_sybil_in_the_cohort_is_refused() -> None:
    federation = Federation(4)
    with pytest.raises(MessageRefused, match="site 'sybil' is not in the roster"):
        opened(federation, participants=(*federation.sites[:3], "sybil"))


def test_context_with_another_roster_is_refused() -> None:
    # The coordinator's own roster: the same members, and one that it has enrolled itself.
    federation = Federation(5)
    sybil = Member(site="sybil", public_key=SigningKey.generate().public.hex())
    enlarged = replace(federation.roster, members=(*federation.roster.members, sybil))
    with pytest.raises(MessageRefused, match="another roster than the pinned one"):
        opened(federation, roster_digest=enlarged.digest, participants=(*federation.sites, "sybil"))


def test_roster_with_another_key_for_the_silo_is_refused() -> None:
    federation = Federation(4)
    federation.keys[FIRST] = SigningKey.generate()
    with pytest.raises(MessageRefused, match="the roster holds another key for site site-00"):
        opened(federation)


def test_silo_takes_no_part_in_a_cohort_without_it() -> None:
    with pytest.raises(MessageRefused, match="site stranger is no participant"):
        opened(Federation(4), site="stranger")


# --- U2: whose shares are held ---------------------------------------------------------------


def headers_of(federation: Federation) -> dict[str, bytes]:
    return dict(federation.opened_request(Step.MASKED, SenderList).headers)


def refuse_senders(
    federation: Federation, headers: Mapping[str, bytes], entries: bytes, message: str
) -> None:
    request = federation.from_coordinator(SenderList(headers=headers))
    with pytest.raises(MessageRefused, match=message):
        federation.silos[FIRST].accept_shares(request, entries)


def test_share_made_for_another_holder_is_refused() -> None:
    federation = reached(Step.MASKED)
    entries = federation.entries()
    parts = [entries[i : i + ENTRY_BYTES] for i in range(0, len(entries), ENTRY_BYTES)]
    parts[1] = parts[2]
    message = "site site-01: its entry is not the one it signed"
    refuse_senders(federation, headers_of(federation), b"".join(parts), message)


@pytest.mark.parametrize("size", [0, ENTRY_BYTES - 1, 5 * ENTRY_BYTES - 1, 6 * ENTRY_BYTES])
def test_truncated_or_oversized_entries_are_refused(size: int) -> None:
    federation = reached(Step.MASKED)
    entries = federation.entries().ljust(size, b"\0")[:size]
    message = f"expected 5 pieces of 276 bytes, got {size} bytes"
    refuse_senders(federation, headers_of(federation), entries, message)
    with pytest.raises(OutOfOrder, match="a refused delivery comes first"):
        federation.silos[FIRST].complaint()  # no hospital is to blame


def test_second_header_in_the_silos_own_name_is_refused() -> None:
    federation = reached(Step.MASKED)
    headers = headers_of(federation)
    header = federation.opened_answer(headers[FIRST], ShareHeader, FIRST)
    headers[FIRST] = federation.from_site(FIRST, replace(header, entries=bytes(160)))
    message = "another header than this silo's own"
    refuse_senders(federation, headers, federation.entries(), message)


def test_shares_of_a_member_that_was_told_another_u1_are_refused() -> None:
    federation = reached(Step.MASKED)
    headers = headers_of(federation)
    header = federation.opened_answer(headers["site-01"], ShareHeader, "site-01")
    headers["site-01"] = federation.from_site("site-01", replace(header, adverts="0" * 64))
    message = "site site-01: it used other adverts"
    refuse_senders(federation, headers, federation.entries(), message)


def test_second_u2_for_one_silo_is_refused() -> None:
    federation = reached(Step.MASKED)
    headers, entries = headers_of(federation), federation.entries()
    federation.silos[FIRST].accept_shares(federation.request(Step.MASKED), entries)
    fewer = {site: headers[site] for site in federation.sites[:4]}
    message = "another U2 was accepted before"
    refuse_senders(federation, fewer, entries[: 4 * ENTRY_BYTES], message)
    federation.silos[FIRST].accept_shares(federation.request(Step.MASKED), entries)


# --- U3: whose masks are taken off -----------------------------------------------------------


def refuse_survivors(federation: Federation, blobs: Mapping[str, str], message: str) -> None:
    request = federation.from_coordinator(SurvivorList(blobs=blobs))
    with pytest.raises(MessageRefused, match=message):
        federation.silos[FIRST].confirm(request)


def test_u3_that_leaves_the_silo_out_is_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    blobs = dict(federation.coordinator.blob_hashes)
    del blobs[FIRST]
    refuse_survivors(federation, blobs, "U3 leaves this silo out")


def test_u3_with_another_blob_of_the_silo_is_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    blobs = {**federation.coordinator.blob_hashes, FIRST: "0" * 64}
    refuse_survivors(federation, blobs, "another blob than the one this silo sent")


@pytest.mark.parametrize("change", ["a survivor less", "another blob"])
def test_second_signature_is_refused(change: str) -> None:
    federation = reached(Step.CONSISTENCY)
    silo, request = federation.silos[FIRST], federation.request(Step.CONSISTENCY)
    signed, blobs = silo.confirm(request), dict(federation.coordinator.blob_hashes)
    if change == "another blob":
        blobs["site-04"] = "0" * 64
    else:
        del blobs["site-04"]
    refuse_survivors(federation, blobs, "consistency was done differently before")
    assert silo.confirm(request) == signed


def test_site_listed_twice_in_u3_is_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    data = federation.request(Step.CONSISTENCY)[64:]
    start = data.index(b'"site-04":')
    once = data[start : data.index(b"}", start)]
    twice = data.replace(once, once + b"," + once)
    wire = federation.coordinator_key.sign(SurvivorList.type, twice) + twice
    with pytest.raises(MessageRefused, match="not canonical JSON"):
        federation.silos[FIRST].confirm(wire)


def signatures_of(federation: Federation) -> dict[str, bytes]:
    """Returns everybody's statement, more than an honest coordinator shows anybody."""
    statements = {site: silo._survivors for site, silo in federation.silos.items()}
    return {site: federation.from_site(site, said.statement) for site, said in statements.items()}  # type: ignore[union-attr]


def refuse_signatures(
    federation: Federation, signatures: Mapping[str, bytes], message: str
) -> None:
    request = federation.from_coordinator(SignatureList(signatures=signatures))
    with pytest.raises(MessageRefused, match=message):
        federation.silos[FIRST].reveal(request)


def test_nothing_is_revealed_below_the_threshold_of_signatures() -> None:
    federation = reached(Step.UNMASK)
    signatures = signatures_of(federation)
    few = {site: signatures[site] for site in federation.sites[:3]}
    refuse_signatures(federation, few, "3 signatures on U3, 4 are needed")


def test_forged_signature_on_u3_is_refused() -> None:
    federation = reached(Step.UNMASK)
    signatures = signatures_of(federation)
    statement = federation.opened_answer(signatures["site-01"], Consistency, "site-01")
    forged = sign_message(
        statement,
        context=federation.context.digest,
        sender="site-01",
        key=federation.coordinator_key,
    )
    for wrong, message in (
        ({**signatures, "site-01": forged}, "not valid for this key"),
        ({**signatures, "site-01": signatures["site-02"]}, "is not from site-01"),
        ({**signatures, "sybil": forged}, "site sybil signed but is not in U3"),
    ):
        refuse_signatures(federation, wrong, message)


def test_signature_of_another_attempt_is_refused() -> None:
    federation = reached(Step.UNMASK)
    old = signatures_of(federation)
    federation.begin(attempt=1)
    federation.run_until(Step.UNMASK, federation.vectors())
    mixed = {**signatures_of(federation), "site-01": old["site-01"]}
    refuse_signatures(federation, mixed, "belongs to another context")


def test_second_reveal_is_refused() -> None:
    # After one reveal the survivor site-04 is said to have dropped out, and colluders sign that.
    federation = reached(Step.UNMASK)
    silo, request = federation.silos[FIRST], federation.request(Step.UNMASK)
    revealed, blobs = silo.reveal(request), dict(federation.coordinator.blob_hashes)
    del blobs["site-04"]
    refuse_survivors(federation, blobs, "consistency was done differently before")
    lie = replace(statement_of(federation), survivors=digest_of_blobs(blobs))
    signed = {site: federation.from_site(site, lie) for site in federation.sites[:4]}
    refuse_signatures(federation, signed, "signed another U1, U2 or U3")
    assert silo.reveal(request) == revealed


def statement_of(federation: Federation) -> Consistency:
    return federation.opened_answer(signatures_of(federation)[FIRST], Consistency, FIRST)


def test_reveal_is_the_same_whichever_signatures_ask_for_it() -> None:
    federation = reached(Step.UNMASK)
    silo, signatures = federation.silos[FIRST], signatures_of(federation)
    revealed = silo.reveal(federation.request(Step.UNMASK))
    fewer = {site: signatures[site] for site in federation.sites[1:]}
    assert silo.reveal(federation.from_coordinator(SignatureList(signatures=fewer))) == revealed


# --- cohorts that are too small --------------------------------------------------------------


@pytest.mark.parametrize(("least", "count"), [(3, 3), (5, 4)], ids=["threshold", "own minimum"])
@pytest.mark.parametrize("step", STEPS[1:4], ids=lambda step: step.value)
def test_cohort_below_the_minimum_is_refused(step: Step, least: int, count: int) -> None:
    federation = reached(Step.ADVERTISE)
    federation.silos[FIRST] = federation.silo(FIRST, min_sites=least)
    for before in STEPS[: STEPS.index(step)]:
        federation.play(before, federation.vectors())
    sites, needed = federation.sites[:count], max(least, 4)
    message = f"U. has {count} sites, {needed} are needed"
    if step is Step.SHARE:
        adverts = adverts_of(federation)
        refuse_adverts(federation, {site: adverts[site] for site in sites}, message)
    elif step is Step.MASKED:
        headers, entries = headers_of(federation), federation.entries()[: count * ENTRY_BYTES]
        refuse_senders(federation, {site: headers[site] for site in sites}, entries, message)
    else:
        blobs = federation.coordinator.blob_hashes
        refuse_survivors(federation, {site: blobs[site] for site in sites}, message)


# --- replays ---------------------------------------------------------------------------------


def test_request_of_another_context_is_refused() -> None:
    federation = reached(Step.SHARE)
    replayed = federation.request(Step.SHARE)
    federation.begin(attempt=1)
    federation.silos[FIRST].advertise()
    with pytest.raises(MessageRefused, match="belongs to another context"):
        federation.silos[FIRST].share(replayed)


def test_request_of_a_stranger_is_refused() -> None:
    federation = reached(Step.SHARE)
    request = sign_message(
        AdvertList(adverts=adverts_of(federation)),
        context=federation.context.digest,
        sender=COORDINATOR,
        key=SigningKey.generate(),
    )
    with pytest.raises(MessageRefused, match="not valid for this key"):
        federation.silos[FIRST].share(request)


def test_opening_under_another_contexts_name_is_refused() -> None:
    federation = Federation(4)
    data = federation.coordinator.request(Step.ADVERTISE, FIRST)[64:]
    data = data.replace(federation.context.digest.encode(), b"0" * 64)
    wire = federation.coordinator_key.sign("round-open", data) + data
    with pytest.raises(MessageRefused, match="belongs to another context"):
        opened_round(wire, federation.coordinator_key.public)


def test_second_context_for_one_attempt_is_refused() -> None:
    federation = reached(Step.SHARE)
    federation.begin(model_hash="a" * 64)
    with pytest.raises(MessageRefused, match="context/training/0/0 was done differently before"):
        federation.silos[FIRST].advertise()


def test_finished_context_replayed_gives_the_same_bytes_and_no_second_mask() -> None:
    federation = Federation(5)
    silo, vectors = federation.silos[FIRST], federation.vectors()
    requests, answers = {}, {}
    for step in STEPS:
        requests[step] = federation.request(step), federation.coordinator.attachment(step, FIRST)
        answers[step] = federation.answer(step, FIRST, requests[step][0], vectors[FIRST])
        federation.coordinator.receive(step, FIRST, *answers[step])
        federation.play(step, vectors)
    assert silo.advertise() == answers[Step.ADVERTISE][0]
    assert silo.share(requests[Step.SHARE][0]) == answers[Step.SHARE]
    silo.accept_shares(requests[Step.MASKED][0], requests[Step.MASKED][1] or b"")
    with pytest.raises(OutOfOrder, match="a vector was masked already in this context"):
        silo.mask(vectors[FIRST])
    assert silo.masked_message(ledger_head=LEDGER_HEAD) == answers[Step.MASKED][0]
    assert silo.confirm(requests[Step.CONSISTENCY][0]) == answers[Step.CONSISTENCY][0]
    assert silo.reveal(requests[Step.UNMASK][0]) == answers[Step.UNMASK][0]


@pytest.mark.parametrize("step", STEPS[1:], ids=lambda step: step.value)
def test_restarted_silo_takes_no_further_part_in_a_replayed_context(step: Step) -> None:
    federation = reached(step)
    silo, request = federation.silo(FIRST), federation.request(step)
    with pytest.raises(MessageRefused, match="advert was done differently before"):
        silo.advertise()
    acts: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: silo.share(request), "advertise"),
        (lambda: silo.accept_shares(request, b""), "share"),
        (lambda: silo.mask(federation.vectors()[FIRST]), "accept_shares"),
        (lambda: silo.confirm(request), "mask"),
        (lambda: silo.reveal(request), "confirm"),
    )
    for act, first in acts:
        with pytest.raises(OutOfOrder, match=f"{first} comes first"):
            act()


def test_restarted_silo_refuses_a_finished_context() -> None:
    federation = Federation(5)
    federation.run(federation.vectors())
    with pytest.raises(MessageRefused, match="advert was done differently before"):
        federation.silo(FIRST).advertise()


# --- another model for one silo --------------------------------------------------------------


def with_another_model(federation: Federation) -> SecAggClient:
    """Returns the first silo in a context with a model of its own."""
    return opened(federation, model_hash="a" * 64)


def adverts_in(federation: Federation, silo: SecAggClient, adverts: Mapping[str, bytes]) -> bytes:
    """Returns a U1 that the coordinator signs in the context of this silo."""
    return sign_message(
        AdvertList(adverts=adverts),
        context=silo.context.digest,
        sender=COORDINATOR,
        key=federation.coordinator_key,
    )


def test_silo_with_another_model_refuses_the_adverts_of_the_others() -> None:
    federation = reached(Step.SHARE)
    silo = with_another_model(federation)
    adverts = {**adverts_of(federation), FIRST: silo.advertise()}
    with pytest.raises(MessageRefused, match="advert-list message belongs to another context"):
        silo.share(federation.from_coordinator(AdvertList(adverts=adverts)))
    with pytest.raises(MessageRefused, match="advertise message belongs to another context"):
        silo.share(adverts_in(federation, silo, adverts))


def test_silo_with_another_model_is_not_left_alone_with_the_colluders() -> None:
    federation = Federation(5, {"colluders": 2})
    silo = with_another_model(federation)
    adverts = {FIRST: silo.advertise()}
    for site in federation.sites[3:]:
        adverts[site] = sign_message(
            SiloSecrets.fresh(silo.context, site).advert(),
            context=silo.context.digest,
            sender=site,
            key=federation.keys[site],
        )
    with pytest.raises(MessageRefused, match="U1 has 3 sites, 4 are needed"):
        silo.share(adverts_in(federation, silo, adverts))


def test_masks_made_for_another_model_leave_the_sum_uniform() -> None:
    # As if all messages could be made to fit; and the self mask of that context is taken off too.
    federation = reached(Step.MASKED, 4, dim=65536)
    other = replace(federation.context, model_hash="a" * 64)
    own = secrets_of(federation, FIRST)
    federation.silos[FIRST]._secrets = replace(own, context=other)
    with pytest.raises(SumRefused, match="a mask or a vector is wrong"):
        for step in STEPS[2:]:
            federation.play(step, federation.vectors())
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        federation.coordinator.total()
    held = federation.coordinator._sum
    add = [self_key(own.self_secret, federation.context)]
    apply_masks(held, add=add, subtract=[self_key(own.self_secret, other)])
    assert chisquare(np.bincount(held.view(np.uint8), minlength=256)).pvalue > 1e-6


class Hospital:
    """One hospital of a consortium, asked to take part in a first round."""

    def __init__(self, folder: Path) -> None:
        self.consortium = Consortium(folder, small_study())
        self.consortium.join()
        self.silo = self.consortium.silos["east"]
        self.bytes = self.silo.initial_model("run-1")
        self.model: Tensors = decode_tensors(self.bytes)

    def asked(self, blob: bytes, model: Tensors | None = None) -> Reply:
        """Returns its answer to a context for one model and the bytes of perhaps another."""
        roster, key = self.consortium.roster, self.consortium.workspace.signing_key()
        log = CoordinatorLog(key, cosigners=self.consortium.cosigners)
        context = round_context(
            self.consortium.study, run_id="run-1", roster_digest=roster.digest,
            round_kind="training", number=0, attempt=0, draw=0,
            log_size=log.head.size, log_root=log.head.root.hex(), model=model or self.model,
        )  # fmt: skip
        machine = SecAggServer(
            context=context, roster=roster, key=key, log_proof=lambda _site: log.proof(context)
        )
        wire = machine.request(Step.ADVERTISE, "east")
        return self.silo.answer(Request(run_id="run-1", step="advertise", message=wire, blob=blob))

    def check_refusal(
        self, blob: bytes, kind: str, reason: str, model: Tensors | None = None
    ) -> None:
        """Checks that it refuses for this reason, and takes the right model all the same."""
        assert self.asked(blob, model) == Reply(refusal=kind)
        assert reason in str(self.silo.reason("run-1"))
        assert self.asked(self.bytes).refusal is None


def test_hospital_refuses_a_context_for_another_model_than_it_was_sent(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    other = {name: value + np.float32(1) for name, value in hospital.model.items()}
    hospital.check_refusal(hospital.bytes, "PolicyRefused", "model_hash", model=other)


@pytest.mark.parametrize("cut", [0, 7, -1], ids=["nothing", "header cut", "last byte missing"])
def test_hospital_refuses_a_truncated_model_blob(tmp_path: Path, cut: int) -> None:
    hospital = Hospital(tmp_path)
    hospital.check_refusal(hospital.bytes[:cut], "MessageRefused", "not safetensors")


def test_hospital_refuses_an_oversized_model_blob(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    hospital.check_refusal(hospital.bytes + bytes(4), "MessageRefused", "not safetensors")


def test_hospital_refuses_a_model_with_one_tensor_more(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    wider = encode_tensors({**hospital.model, "extra": np.zeros(9, np.float32)})
    reason = "does not start from the study's own parameters"
    hospital.check_refusal(wider, "PolicyRefused", reason)


# --- two stories at once ---------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """What the coordinator tells a silo: who shared secrets (U2), and who survived (U3)."""

    senders: tuple[str, ...]
    survivors: tuple[str, ...]


class Equivocation:
    """A coordinator that tells honest silos different stories; its colluders confirm each.

    Whoever is not in ``told`` colludes: it signs whatever helps, and its shares are known.
    """

    def __init__(self, before: Federation, told: Mapping[str, Story]) -> None:
        self.federation, self.told = copy.deepcopy(before), told
        self.colluders = [site for site in before.sites if site not in told]
        headers = headers_of(self.federation)
        for site in before.sites:
            story = told.get(site, Story(before.sites, before.sites))
            entries = pieces(self.federation.entries(site), ENTRY_BYTES, before.count)
            named = {owner: headers[owner] for owner in story.senders}
            delivered = b"".join(entries[before.sites.index(owner)] for owner in story.senders)
            silo = self.federation.silos[site]
            silo.accept_shares(
                self.federation.from_coordinator(SenderList(headers=named)), delivered
            )
            self.federation.blobs[site] = bytes(silo.mask(before.vectors()[site]))

    def reveals(self) -> dict[str, Reveal]:
        """Returns what the honest silos reveal that can be made to, by site."""
        signed, revealed = {}, {}
        for site, story in self.told.items():
            blobs = {inside: self.federation.silos[inside].blob for inside in story.survivors}
            request = self.federation.from_coordinator(SurvivorList(blobs=blobs))
            signed[site] = self.federation.silos[site].confirm(request)
        for site, story in self.told.items():
            word = self.federation.opened_answer(signed[site], Consistency, site)
            signatures = {other: signed[other] for other in signed if self.told[other] == story}
            signatures |= {liar: self.federation.from_site(liar, word) for liar in self.colluders}
            request = self.federation.from_coordinator(SignatureList(signatures=signatures))
            with suppress(MessageRefused):
                wire = self.federation.silos[site].reveal(request)
                revealed[site] = self.federation.opened_answer(wire, Reveal, site)
        return revealed

    def both_secrets(self) -> tuple[bytes, bytes]:
        """Returns b and z of the first site, of which the coordinator should get at most one.

        Raises:
            MessageRefused: too few shares are known of one of them.
        """
        known: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for site, reveal in self.reveals().items():
            story, x = self.told[site], self.federation.context.coordinate_of(site)
            is_lost = FIRST not in story.survivors
            # The first site stands first in either list; only it has dropped out.
            opening = (reveal.pair_shares if is_lost else reveal.self_shares)[:OPENING_BYTES]
            known[is_lost][x] = parse_opening(opening).value
        for site in self.colluders:
            x = self.federation.context.coordinate_of(site)
            openings = self.federation.silos[site]._openings[FIRST]
            known[0][x], known[1][x] = openings.self_share.value, openings.pair_share.value
        return combine(known[0]), combine(known[1])

    def update_of_first(self) -> list[int]:
        """Returns the first site's blob without its masks; the same errors."""
        federation = self.federation
        self_secret, pair_secret = self.both_secrets()
        own = replace(
            SiloSecrets.fresh(federation.context, FIRST),
            self_secret=self_secret,
            mask_private=mask_private_key(pair_secret, federation.context),
        )
        add, subtract = own.mask_keys(federation.coordinator._adverts)
        vector = np.frombuffer(federation.blobs[FIRST], ring_dtype(federation.context)).copy()
        apply_masks(vector, add=subtract, subtract=add)
        return [int(word) for word in vector]


def told_apart(which: str, sites: tuple[str, ...]) -> tuple[Story, Story]:
    """Returns a story with the first site and one without it, from U2 or from U3 on."""
    without = Story(sites if which == "U3" else sites[1:], sites[1:])
    return Story(sites, sites), without


#: (n, t, C) with t as studies have it, and C as large as 2t > n + C and t - C >= 2 allow.
LARGEST = [(4, 3, 1), (5, 4, 2), (6, 5, 3), (7, 5, 2), (8, 6, 3)]


@pytest.mark.parametrize("which", ["U2", "U3"])
@pytest.mark.parametrize(("count", "threshold", "colluders"), short_form([(5, 4, 0), *LARGEST], 2))
def test_two_sets_told_apart_never_both_get_their_signatures(
    count: int, threshold: int, colluders: int, which: str
) -> None:
    before = reached(Step.MASKED, count, threshold=threshold, colluders=colluders)
    honest, stories = before.sites[: count - colluders], told_apart(which, before.sites)
    most = 0
    for heard in product(stories, repeat=len(honest) - 1):  # the first site heard that it is in
        told = dict(zip(honest, (stories[0], *heard), strict=True))
        most = max(most, len({told[site] for site in Equivocation(before, told).reveals()}))
    assert most == 1


@pytest.mark.parametrize(("count", "threshold", "colluders"), LARGEST)
def test_survivor_declared_dropped_to_half_of_the_silos_keeps_its_update(
    count: int, threshold: int, colluders: int
) -> None:
    before = reached(Step.MASKED, count, threshold=threshold, colluders=colluders)
    told = half_and_half(before, colluders)
    with pytest.raises(MessageRefused, match="the shares do not give a secret"):
        Equivocation(before, told).update_of_first()


@pytest.mark.parametrize(("count", "threshold", "colluders"), LARGEST)
def test_one_colluder_more_than_declared_takes_the_update(
    count: int, threshold: int, colluders: int
) -> None:
    # The bound 2t > n + C is tight: this is the attack that the other tests see fail.
    before = reached(Step.MASKED, count, threshold=threshold, colluders=colluders)
    attack = Equivocation(before, half_and_half(before, colluders + 1))
    assert attack.update_of_first() == before.vectors()[FIRST].tolist()


@pytest.mark.parametrize(("count", "threshold", "colluders"), LARGEST)
def test_context_that_allows_for_one_colluder_more_is_refused(
    count: int, threshold: int, colluders: int
) -> None:
    context = Federation(count, {"threshold": threshold, "colluders": colluders}).context
    with pytest.raises(ValueError, match=f"with {count} sites and {colluders + 1} colluders"):
        replace(context, colluders=colluders + 1)


def half_and_half(federation: Federation, colluders: int) -> dict[str, Story]:
    """Returns stories for the honest silos: the first half hears that the first site survived."""
    inside, lost = told_apart("U3", federation.sites)
    honest = federation.sites[: federation.count - colluders]
    half = (len(honest) + 1) // 2
    return {site: inside if place < half else lost for place, site in enumerate(honest)}


def stories_that_go_on(before: Federation, told: Mapping[str, tuple[str, ...]]) -> int:
    """Returns in how many of the U1 that silos were told some honest silo accepts a U2.

    Whoever is not in ``told`` colludes, and shares its secrets among each U1.
    """
    federation, wires = copy.deepcopy(before), adverts_of(before)
    colluders = [site for site in before.sites if site not in told]
    going_on = set()
    sent = {
        site: federation.silos[site].share(
            federation.from_coordinator(AdvertList(adverts={s: wires[s] for s in u1}))
        )
        for site, u1 in told.items()
    }
    for site, u1 in told.items():
        named = {s: wires[s] for s in u1}
        same = {s: sent[s] for s in told if told[s] == u1}
        same |= {liar: shared_by_hand(federation, liar, named) for liar in colluders}
        headers = {s: header for s, (header, _) in same.items()}
        delivered = b"".join(
            pieces(same[s][1], ENTRY_BYTES, len(u1))[sorted(u1).index(site)] for s in sorted(same)
        )
        with suppress(MessageRefused):
            request = federation.from_coordinator(SenderList(headers=headers))
            federation.silos[site].accept_shares(request, delivered)
            going_on.add(u1)
    return len(going_on)


def shared_by_hand(
    federation: Federation, site: str, wires: Mapping[str, bytes]
) -> tuple[bytes, bytes]:
    """Returns a header and entries of a colluder for any U1."""
    adverts = {s: federation.opened_answer(wire, Advertise, s) for s, wire in wires.items()}
    entries = deal_shares(secrets_of(federation, site), adverts).entries
    header = ShareHeader(adverts=digest_of_messages(wires), entries=header_of(entries))
    return federation.from_site(site, header), b"".join(entries)


@pytest.mark.parametrize(("count", "threshold", "colluders"), [(5, 4, 0), *LARGEST])
def test_two_u1_told_apart_never_both_go_on(count: int, threshold: int, colluders: int) -> None:
    before = reached(Step.SHARE, count, threshold=threshold, colluders=colluders)
    honest, stories = before.sites[: count - colluders], (before.sites, before.sites[1:])
    tellings = product(stories, repeat=len(honest) - 1)
    assert 1 == max(
        stories_that_go_on(before, dict(zip(honest, (before.sites, *heard), strict=True)))
        for heard in tellings
    )


def test_two_u1_told_apart_would_both_go_on_with_one_colluder_more_than_declared() -> None:
    before = reached(Step.SHARE, 5, threshold=4, colluders=2)
    told = {FIRST: before.sites, "site-01": before.sites[1:]}
    assert stories_that_go_on(before, told) == 2


def test_mixed_signatures_on_two_u3_are_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    blobs, signed = dict(federation.coordinator.blob_hashes), {}
    for site in federation.sites[:4]:
        told = (
            blobs if site in federation.sites[:2] else {s: blobs[s] for s in federation.sites[:4]}
        )
        request = federation.from_coordinator(SurvivorList(blobs=told))
        signed[site] = federation.silos[site].confirm(request)
    refuse_signatures(federation, signed, "site site-02 signed another U1, U2 or U3")


def test_mixed_shares_of_two_u1_are_refused() -> None:
    federation = reached(Step.SHARE)
    wires, sent = adverts_of(federation), {}
    for site in federation.sites:
        told = wires if site in federation.sites[:3] else {s: wires[s] for s in wires if s != FIRST}
        request = federation.from_coordinator(AdvertList(adverts=told))
        sent[site] = federation.silos[site].share(request)
    entries = b"".join(sent[site][1][:ENTRY_BYTES] for site in federation.sites)
    headers = {site: header for site, (header, _) in sent.items()}
    refuse_senders(federation, headers, entries, "site site-03: it used other adverts")
