"""A real hospital that joins a run, as its supervisor would let it, with its site file's words."""

from contextlib import closing
from pathlib import Path

from protocol.identity.roster import Member, SigningKey
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import Summary, open_summary
from silos.config.study_authorization import StudyAuthorization
from silos.database.database import open_hospital
from silos.operations.site import approve
from silos.patients.frozen_cohorts import FrozenCohort
from silos.patients.own_records import freeze_cohort
from silos.rounds.invitation import Invitation
from silos.rounds.silo import Silo
from tests.support.hospital.hospital_home import OFFICER
from tests.support.hospital.rosters import COORDINATOR_KEY, roster_with
from tests.support.simulated.federation import LinearTrainer


def frozen_anew(home: Path, text: str) -> FrozenCohort:
    """The hospital's people freeze what the export holds now."""
    return freeze_cohort(home, read_study(text), home.parent, by=OFFICER)[0]


def joined(home: Path, text: str, run: str = "run-1") -> Summary:
    """What a real hospital signs when it joins a run of a study that it approved."""
    study = read_study(text)
    (home.parent / "study.yaml").write_text(text)
    approve(home, home.parent / "study.yaml", by=OFFICER, reason="", runs=9)
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        silo = Silo(
            "east", home, LinearTrainer, simulated=False, hospital=hospital,
            authorization=StudyAuthorization(home, hospital),
        )  # fmt: skip
        keys = {name: SigningKey.generate().public.hex() for name in study.site_names}
        keys["east"] = silo.member.public_key
        roster = roster_with(
            tuple(Member(site=name, public_key=key) for name, key in sorted(keys.items()))
        )
        signed = silo.join(
            Invitation(
                run_id=run,
                study=study,
                roster=roster,
                coordinator_public=COORDINATOR_KEY.public,
                data=None,
                index_file=None,
            )
        )
        return open_summary(signed, roster.key_of("east"))
