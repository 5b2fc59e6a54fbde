"""Reports of a real folder: made, made again, signed, verified; and what is refused."""

import datetime
import json
import math
import re
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.generic import StreamObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.fields import SigFieldSpec
from pyhanko.stamp import TextStampStyle
from rich.console import Console

from collegium.reports.export import export_report, list_kinds, write_template
from collegium.reports.request import ReportRequest, report_document
from collegium.reports.signing import sign_report, signatures_of
from collegium.reports.verifying import read_report, require_verified, verify_report
from compliance.reports.document import claims_of
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import FORMS, render_json
from coordinator.views.subjects import SCOPES
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from tests import ROOT
from tests.support.machine.commands import ask
from tests.support.simulated.output_folder import RUNS, change

QUIET = Console(quiet=True)
EXAMPLE = ROOT / "examples" / "heart-disease" / "consortium.yaml"
DAY = datetime.timedelta(days=1)
#: Names of what the folder's runs are of, by what a report can be about.
NAMED = {"run": RUNS[0], "study": "small", "sweep": "sweep", "hospital": "east"}


def export(folder: Path, to: Path, **asked: object) -> Path:
    request = ReportRequest(**({"name": RUNS[0]} | asked))  # type: ignore[arg-type]
    form = "oscal" if to.name.endswith(".oscal") else to.suffix[1:]
    export_report(folder, request, form, to, QUIET)
    return to


def person(
    tmp_path: Path, name: str, *, elliptic: bool = True, days: tuple[int, int] = (-1, 1)
) -> tuple[Path, Path]:
    """A private key and its certificate, made by a person for themselves."""
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else None
    signing = key or ed25519.Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(signing.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .sign(signing, SHA256() if elliptic else None)
    )
    own, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.cert"
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own.write_bytes(signing.private_bytes(*form))
    own.chmod(0o600)
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    return own, certificate


@pytest.mark.parametrize("form", FORMS)
def test_a_report_is_verified_against_the_records_that_it_was_made_from(
    genuine: Path, tmp_path: Path, form: str
) -> None:
    file = export(genuine, tmp_path / f"report.{form}", declarations=EXAMPLE)
    found = verify_report(file, QUIET, out=genuine, declarations=EXAMPLE)
    assert (found["verified"], found["faults"], found["format"]) == (True, [], form)
    assert "byte for byte" in found["checked"][0] and "evidenced" in found["checked"][0]
    data = file.read_bytes()
    file.write_bytes(data.replace(b"patient", b"patent ", 1) if form != "pdf" else data + b"%")
    again = verify_report(file, QUIET, out=genuine, declarations=EXAMPLE)
    assert again["verified"] is False
    with pytest.raises(StoreBroken, match="faults?: do not rely on"):
        require_verified(again, file)


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != "sweep"])
def test_a_report_of_several_runs_is_made_again_from_its_recipe(
    genuine: Path, tmp_path: Path, scope: str
) -> None:
    with closing(sqlite3.connect(genuine / "collegium.db")) as database:
        ((year,),) = database.execute("SELECT substr(MIN(started_at), 1, 4) FROM run")
    name = NAMED.get(scope, year)
    if scope == "study":
        name = report_document(genuine, ReportRequest(name=RUNS[0])).recipe.name  # type: ignore[union-attr]
        with closing(sqlite3.connect(genuine / "collegium.db")) as database:
            ((name,),) = database.execute("SELECT name FROM study LIMIT 1")
    file = export(genuine, tmp_path / "report.json", name=name, scope=scope, kind="security-log")
    found = verify_report(file, QUIET, out=genuine)
    assert (found["verified"], found["recipe"]["scope"]) == (True, scope)


def test_other_declarations_are_told_by_their_digest(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.json", declarations=EXAMPLE)
    with pytest.raises(WorkspaceRefused, match="made with the consortium file of SHA-256"):
        verify_report(file, QUIET, out=genuine)


def test_declarations_in_the_folder_are_taken_without_being_named(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "consortium.yaml").write_text(EXAMPLE.read_text())
    file = export(folder, tmp_path / "report.json")
    assert "Ben Iversen" in file.read_text()
    assert verify_report(file, QUIET, out=folder)["verified"]


def test_every_evidenced_entry_is_in_the_log_under_the_head_that_is_named(genuine: Path) -> None:
    document = report_document(genuine, ReportRequest(name=RUNS[0]))
    assert document.recipe is not None
    with closing(sqlite3.connect(genuine / "collegium.db")) as database:
        known = {row[0] for row in database.execute("SELECT idx FROM audit_entry")}
    entries = {i for c in claims_of(document) for i in getattr(c.basis, "entries", ())}
    assert entries <= known and max(entries) < document.recipe.until


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_a_report_is_that_of_the_database(genuine: Path, kind: str) -> None:
    """Epsilons, heads, models, contexts and released figures, in every report that has them."""
    document = report_document(genuine, ReportRequest(name=RUNS[0], kind=kind))
    text = render_json(document)
    with closing(sqlite3.connect(genuine / "collegium.db")) as database:
        ((study, sites, model),) = database.execute(
            "SELECT study_digest, sites_json, model_digest FROM run WHERE id = ?", (RUNS[0],)
        )
        ((root,),) = database.execute(
            "SELECT hex(root) FROM audit_checkpoint WHERE size = ?",
            (document.recipe.until if document.recipe else 0,),
        )
        query = "SELECT run_id, entry FROM audit_entry WHERE run_id = ? OR run_id IS NULL"
        found = [(run, json.loads(entry)) for run, entry in database.execute(query, (RUNS[0],))]
        payloads = [entry["payload"] for run, entry in found if run is not None]
        of_no_run = {entry["payload"] for run, entry in found if run is None}
    assert root.lower() in text and all(payload in text for payload in payloads)
    digests = set(re.findall(r"\b[0-9a-f]{64}\b", text))
    signed = [json.loads(one["data"]) for one in json.loads(sites).values()]
    known = {study, model, root.lower(), *payloads, *(one["ledger_head"] for one in signed)}
    known |= of_no_run
    assert model in text or kind not in ("study-dossier", "annex-iv", "model-card")
    if kind != "privacy-statement":  # which has the rounds' contexts and models too
        assert digests - known <= {document.banner[-1].text.rpartition("key ")[2].rstrip(".")}
    if kind in ("privacy-statement", "dpia-annex", "annex-iv", "study-dossier", "model-card"):
        for one in signed:
            assert f"At {one['site']} a training patient pays ε = {up(one['epsilon'])}" in text


def up(value: float) -> str:
    """A figure below ten with three digits, never smaller than it is: computed another way."""
    return f"{math.ceil(value * 100 - 1e-9) / 100:g}"


def test_two_people_sign_and_the_report_stays_in_the_file(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="model-card")
    assert verify_report(file, QUIET, out=genuine)["signed"] is False
    ada, ben = person(tmp_path, "Ada"), person(tmp_path, "Ben", elliptic=False)
    once = sign_report(file, *ada, None, name="Ada", role="controller")
    twice = sign_report(once, *ben, tmp_path / "both.pdf", name="Ben", role="officer")
    assert once.name == "report-signed.pdf"
    assert twice.read_bytes().startswith(once.read_bytes()[: len(file.read_bytes())])
    found = verify_report(twice, QUIET, out=genuine, trusted=(ada[1], ben[1]))
    assert found["verified"] and [one["name"] for one in found["signatures"]] == ["Ada", "Ben"]
    assert all(one["intact"] and one["valid"] and one["trusted"] for one in found["signatures"])
    unknown = verify_report(twice, QUIET, out=genuine, trusted=(ada[1],))
    assert [one["trusted"] for one in unknown["signatures"]] == [True, False]
    assert "NOT TRUSTED" in unknown["faults"][0]
    untold = verify_report(twice, QUIET)
    assert untold["verified"] is False and untold["faults"] == []
    assert any("give --out" in said for said in untold["not_checked"])


def test_a_signed_report_that_was_changed_is_told(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="model-card")
    signed = sign_report(file, *person(tmp_path, "Ada"), None, name="Ada", role="")
    data = bytearray(signed.read_bytes())
    place = data.find(b"stream", 3000) + 40
    data[place] ^= 1
    signed.write_bytes(bytes(data))
    found = verify_report(signed, QUIET, out=genuine)
    assert found["verified"] is False
    assert any("BROKEN: the file was changed under the signature" in f for f in found["faults"])


def other_pages(data: bytes) -> bytes:
    """A report with an update after it that empties its first page."""
    writer = IncrementalPdfFileWriter(BytesIO(data))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Contents"] = writer.add_object(StreamObject(stream_data=b"BT ET"))
    writer.mark_update(page.container_ref)
    written = BytesIO()
    writer.write(written)
    return written.getvalue()


def test_pages_that_were_changed_before_somebody_signed_are_told(
    genuine: Path, tmp_path: Path
) -> None:
    file = export(genuine, tmp_path / "report.pdf")
    file.write_bytes(other_pages(file.read_bytes()))
    pair = person(tmp_path, "Eve")
    signed = sign_report(file, *pair, None, name="Eve", role="DPO")
    found = verify_report(signed, QUIET, out=genuine, trusted=[pair[1]])
    assert not found["verified"] and found["signatures"][0]["trusted"] is True
    assert "other pages than the report's" in found["faults"][0]


def test_a_signature_that_covers_a_page_is_told(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf")
    key, certificate = person(tmp_path, "Eve")
    signer = PdfSigner(
        PdfSignatureMetadata(field_name="Seen", md_algorithm="sha512"),
        SimpleSigner.load(str(key), str(certificate)),
        stamp_style=TextStampStyle(stamp_text="epsilon 0.1"),
        new_field_spec=SigFieldSpec("Seen", on_page=0, box=(0, 0, 595, 842)),
    )
    seen = signer.sign_pdf(IncrementalPdfFileWriter(BytesIO(file.read_bytes())))
    file.write_bytes(seen.getvalue())
    found = verify_report(file, QUIET, out=genuine)
    assert "a signature that is seen" in found["faults"][-1] and not found["verified"]


def test_no_bit_of_a_signature_or_of_the_place_around_it_can_change(
    genuine: Path, tmp_path: Path
) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="security-log")
    pair = person(tmp_path, "Ada")
    whole = sign_report(file, *pair, None, name="Ada", role="DPO").read_bytes()
    assert holds(whole, pair[1])
    start = whole.rindex(b"/Contents")
    end, passed = whole.index(b">", start), []
    head = start + len(b"/Contents <")
    unsigned = range(head + 50, head + 82)  # the message's version and digests: no signature's
    for place in {*range(start, end + 1, 97), *unsigned}:
        for bit in (1, 0x20):  # another digit, or the same in small letters
            changed = bytearray(whole)
            changed[place] ^= bit
            passed += [place - start] * holds(bytes(changed), pair[1])
    assert not passed


def holds(data: bytes, certificate: Path) -> bool:
    """Whether a PDF bears one signature, by this certificate, which holds."""
    try:
        found = signatures_of(data, [certificate])
    except MessageRefused:
        return False
    return len(found) == 1 and found[0].holds


def test_what_follows_the_last_signature_is_told(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf")
    signed = sign_report(file, *person(tmp_path, "Ada"), None, name="Ada", role="DPO")
    signed.write_bytes(signed.read_bytes() + b"% more\n")
    found = verify_report(signed, QUIET, out=genuine)
    assert found["faults"] == ["something follows the last signature in the file"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"recipe":' + b"[" * 100_000,
        b'<meta name="collegium-report" content="&#' + b"9" * 5000 + b';">',
        b'{"assessment-results": {"metadata": {"props": [5]}}}',
        b"%PDF-1.7 <pdf:Keywords>collegium-report, &#" + b"9" * 5000 + b";</pdf:Keywords>",
    ],
    ids=["deep", "number", "oscal", "pdf"],
)
def test_a_damaged_report_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "report").write_bytes(data)
    with pytest.raises(MessageRefused, match="the report"):
        verify_report(tmp_path / "report", QUIET)


def test_a_damaged_pdf_is_refused_in_words(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf")
    file.write_bytes(file.read_bytes().replace(b"\nxref\n", b"\nxref\n1\n"))
    (fault,) = verify_report(file, QUIET)["faults"]
    assert fault.startswith("BROKEN: the PDF cannot be read as far as its signatures")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_signed_report_that_is_cut_or_damaged_is_a_fault_and_nothing_else(
    genuine: Path, tmp_path: Path, part: float
) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="model-card")
    once = sign_report(file, *person(tmp_path, "Ada"), None, name="Ada", role="")
    ben = person(tmp_path, "Ben")
    signed = sign_report(once, *ben, tmp_path / "both.pdf", name="Ben", role="")
    whole = signed.read_bytes()
    place = int(part * len(whole))
    for damaged in (whole[:place], whole[:place] + b"\0" * 40 + whole[place + 40 :]):
        signed.write_bytes(damaged)
        try:
            found = verify_report(signed, QUIET, out=genuine)
        except MessageRefused:  # it no longer says what it was made of
            continue
        assert found["faults"] and found["verified"] is False


def test_a_key_of_another_certificate_signs_nothing(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="model-card")
    (key, _), (_, other) = person(tmp_path, "Ada"), person(tmp_path, "Ben")
    with pytest.raises(WorkspaceRefused, match="is another key than that of --cert"):
        sign_report(file, key, other, None, name="Ada", role="")
    assert not (tmp_path / "report-signed.pdf").exists()


@pytest.mark.parametrize(
    ("days", "said"), [((-9, -1), "expired on"), ((1, 9), "valid from .* look at this machine's")]
)
def test_a_certificate_that_is_not_valid_now_signs_nothing(
    genuine: Path, tmp_path: Path, days: tuple[int, int], said: str
) -> None:
    file = export(genuine, tmp_path / "report.pdf", kind="model-card")
    with pytest.raises(WorkspaceRefused, match=said):
        sign_report(file, *person(tmp_path, "Ada", days=days), None, name="Ada", role="")


def test_a_key_that_others_can_read_signs_nothing(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.pdf")
    key, certificate = person(tmp_path, "Ada")
    key.chmod(0o640)
    with pytest.raises(WorkspaceRefused, match="can be read by others: chmod 600"):
        sign_report(file, key, certificate, None, name="Ada", role="")
    assert not (tmp_path / "report-signed.pdf").exists()


def test_where_nothing_could_be_checked_nothing_is_verified(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.html")
    found = verify_report(file, QUIET)
    assert (found["verified"], found["faults"], found["checked"]) == (False, [], [])
    with pytest.raises(WorkspaceRefused, match="was checked: give --out, the folder of runs"):
        require_verified(found, file)


def test_only_a_pdf_is_signed(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "report.html")
    with pytest.raises(WorkspaceRefused, match="is no PDF: sign what report export"):
        sign_report(file, *person(tmp_path, "Ada"), None, name="Ada", role="")


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    for text in ("", "{}", "<html>", "a,b\r\n", "%PDF-1.7", '{"recipe": {"kind": 3}}'):
        with pytest.raises(MessageRefused):
            read_report(text.encode(), "file")


def test_a_report_of_changed_records_is_no_verified_one(folder: Path, tmp_path: Path) -> None:
    change(folder, "UPDATE run SET failure = 'nothing' WHERE id = 'run-1'")
    to = tmp_path / "report.json"
    with pytest.raises(StoreBroken, match="carries the watermark NOT VERIFIED"):
        export(folder, to)
    found = verify_report(to, QUIET, out=folder)
    assert found["verified"] is False
    assert found["faults"][0].startswith("NOT VERIFIED: the records behind this document")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "bill"}, "there is no report 'bill': privacy-statement, "),
        ({"scope": "planet"}, "a report is about a run, study"),
        ({"name": "none"}, "there is no run 'none' here"),
        ({"name": "none", "scope": "study"}, "there is no run of study 'none' here"),
        ({"declarations": Path("none.yaml")}, "--declarations none.yaml cannot be read"),
    ],
)
def test_what_is_not_there_is_refused(
    genuine: Path, tmp_path: Path, asked: dict[str, object], said: str
) -> None:
    with pytest.raises(WorkspaceRefused, match=said):
        export(genuine, tmp_path / "report.json", **asked)


def test_kinds_are_listed_with_their_texts_and_their_dates() -> None:
    found = list_kinds(QUIET)
    assert [one["kind"] for one in found] == list(KINDS)
    texts = " ".join(text for one in found for text in one["texts"])
    for named in ("SP 800-226 (final, 2025-03-06)", "2024/1689", "2016/679", "is not final"):
        assert named in texts


def test_the_template_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    write_template(tmp_path / "consortium.yaml", QUIET)
    assert "# controller:" in (tmp_path / "consortium.yaml").read_text()


def test_an_export_without_people_says_that_it_left_no_entry_and_changes_nothing(
    genuine: Path, tmp_path: Path
) -> None:
    before = {p: p.stat().st_mtime_ns for p in genuine.rglob("*") if p.is_file()}
    done = ask("report", "export", RUNS[0], "--out", genuine, "--to", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert "nothing was logged: no person is registered" in done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in genuine.rglob("*") if p.is_file()}


def test_verify_ends_with_two_where_a_fault_was_found(genuine: Path, tmp_path: Path) -> None:
    file = export(genuine, tmp_path / "r.json")
    done = ask("report", "verify", file, "--out", genuine, "--json")
    assert (done.returncode, json.loads(done.stdout)["verified"]) == (0, True)
    file.write_text(file.read_text().replace("Privacy", "Piracy"))
    done = ask("report", "verify", file, "--out", genuine, "--json")
    assert (done.returncode, json.loads(done.stdout)["verified"]) == (2, False)
    assert "do not rely on" in done.stderr
