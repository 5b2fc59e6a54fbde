"""``collegium study``: study documents."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Data, Out, StudyFile, read_study
from collegium.output.console import answers, console, emit, say
from protocol.counted import counted

app = typer.Typer(help="Study documents.", no_args_is_help=True)


@app.command("check")
def study_check(
    study: StudyFile,
    data: Data = None,
    budget: Annotated[
        float, typer.Option("--budget", help="A hospital's life-long epsilon, to show its share.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Checks a study and says what it promises. With --data, checks every site's records too.

    It then also builds the network, where the software for it is installed.
    """
    from collegium.studies.preflight import check_records, describe_study, finds_records
    from protocol.study.study_file import lines_of

    checked = read_study(study)
    screen = answers(as_json)
    with lines_of(study):
        reads = finds_records(checked, data)
        promise = describe_study(checked, screen, budget, with_records=reads)
        if reads:
            promise |= check_records(checked, study.parent, data, screen)
    emit(promise, as_json)


@app.command("new")
def study_new(
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    name: Annotated[
        str | None, typer.Option("--name", help="The study's name. Default: my-study.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="One line for people.")] = None,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="What for: hospitals' policies read it.")
    ] = None,
    sites: Annotated[
        str | None, typer.Option("--sites", help="The hospitals, for example st-mary,charite,ucsf.")
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="What each patient may pay. Default: the template's."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="What it begins from: collegium study templates."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="A MONAI bundle that it begins from: a folder, or a ZIP."),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option("--without", help="Layers to start from the seed, for example model.2,*.bn1."),
    ] = None,
    no_weights: Annotated[
        bool, typer.Option("--no-weights", help="Leaves the bundle's weights out.")
    ] = False,
    shape: Annotated[
        str | None, typer.Option("--shape", help="The images' sides, for example 96,96,96.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a commented study document, to be filled in.

    From a template, or with --bundle from a MONAI bundle.
    """
    from collegium.studies.authoring.new_study import NewStudyOptions, write_new_study

    given = {
        "name": name, "title": title, "purpose": purpose, "sites": sites and sites.split(","),
        "epsilon": epsilon,
    }  # fmt: skip
    options = NewStudyOptions(
        template=template, bundle=bundle, without=without, with_weights=not no_weights, shape=shape
    )
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    emit(write_new_study(to, options, chosen, console()), as_json)


@app.command("templates")
def study_templates(as_json: AsJson = False) -> None:
    """Lists what a new study can begin from, with measured figures."""
    from collegium.studies.authoring.worked.listing import list_templates

    emit(list_templates(answers(as_json)), as_json)


@app.command("copy")
def study_copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="heart-disease or breast-cancer.")],
    to: Annotated[Path, typer.Option("--to", help="The new folder to write.")],
) -> None:
    """Writes a bundled study to a new folder. Its records go with it, to be changed there."""
    from collegium.studies.bundled import bundled_study

    bundled = bundled_study(name)
    made = bundled.copy_to(to)
    check = f"collegium study check {made} --data {to}"
    console().print(
        f"made   {made}: {bundled.study.title}\nrecords: {bundled.source}\nnext: {check}",
        markup=False,
        soft_wrap=True,
    )


@app.command("synthetic")
def study_synthetic(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="alike, label-skew, feature-shift, quantity-skew or concept-shift.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The new folder to write.")],
    hospitals: Annotated[int, typer.Option("--hospitals", min=3, max=200, help="How many.")] = 6,
    patients: Annotated[
        int, typer.Option("--patients", max=100_000, help="Of a hospital, in the mean.")
    ] = 200,
    strength: Annotated[
        float, typer.Option("--strength", help="How far hospitals differ; 0: not at all.")
    ] = 1.0,
    epsilon: Annotated[
        float | None, typer.Option("--epsilon", help="What each pays. Default: no privacy.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Writes a study with synthetic records.

    Its hospitals differ in one known way; the patients are nobody's.
    """
    from collegium.studies.authoring.synthetic import SyntheticOptions, write_synthetic

    options = SyntheticOptions(
        kind=kind, hospitals=hospitals, patients=patients, strength=strength, epsilon=epsilon,
        seed=seed,
    )  # fmt: skip
    emit(write_synthetic(options, to, answers(as_json)), as_json)


@app.command("statistics")
def study_statistics(
    study: StudyFile,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="What each patient may pay. Default: as there."),
    ] = None,
    bins: Annotated[
        int, typer.Option("--bins", min=0, max=64, help="Of a histogram of every number column.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Writes the study that counts a table study's columns."""
    from collegium.studies.authoring.statistics_study import write_statistics_study

    read = read_study(study)
    emit(write_statistics_study(read, to, epsilon=epsilon, bins=bins, console=console()), as_json)


@app.command("normalise")
def study_normalise(
    study: StudyFile,
    run: Annotated[str, typer.Option("--from", metavar="RUN", help="A run of a statistics study.")],
    out: Out,
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    as_json: AsJson = False,
) -> None:
    """Writes a study with a statistics run's centres and scales."""
    from collegium.studies.authoring.normalisation import normalise_study

    emit(normalise_study(study, run_id=run, out=out, to=to, console=console()), as_json)


@app.command("register")
def study_register(
    study: StudyFile,
    home: Annotated[Path, typer.Option("--home", help="The coordinator's folder.")],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Registers a study with the coordinator, so that it can be run."""
    from collegium.studies.registration import register_study

    read, new = register_study(study, home, None if as_key is None else read_key_file(as_key))
    said = "registered" if new else "was registered before"
    console().print(f"{said}  {read.name}, digest {read.digest}", markup=False, soft_wrap=True)
    emit({"name": read.name, "digest": read.digest, "new": new}, as_json)


@app.command("schema")
def study_schema() -> None:
    """Writes the JSON Schema of a study, for editors."""
    from protocol.study.study import Study

    schema = Study.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A Collegium study"
    sys.stdout.write(json.dumps(schema, indent=2, sort_keys=True) + "\n")


@app.command("croissant")
def study_croissant(
    study: StudyFile,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")],
    url: Annotated[str, typer.Option("--url", help="The cohort's page on the web.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Of records that are public.")] = "",
    published: Annotated[
        str, typer.Option("--published", metavar="DAY", help="Default: today (UTC).")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Describes a study's cohort as Croissant.

    Columns, labels, exclusions; the study alone is read, and no record.
    """
    from collegium.models.publication.croissant import DatasetTerms, study_dataset, write_dataset
    from compliance.storage.clock import utc_now

    day = published or f"{utc_now():%Y-%m-%d}"
    terms = DatasetTerms(published=day, url=url, licence=licence)
    told = write_dataset(to, study_dataset(read_study(study), terms))
    say(f"wrote      {to}: {counted(told['fields'], 'field')}, no record")
    emit(told, as_json)


@app.command("plan")
def study_plan(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Compares this study's own settings.")
    ] = None,
    patients: Annotated[
        str | None, typer.Option("--patients", help="Training patients, for example 2000,500,300.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option("--epsilon", help="What a patient may pay.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Default: min(1e-6, 1 in 10 x patients).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=10_000, help="Steps. Default: 60.")
    ] = None,
    inputs: Annotated[
        int | None,
        typer.Option("--inputs", min=1, help="Without a study: numbers per record. Default: 20."),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", help="The share of patients who are ill.")
    ] = None,
    auroc: Annotated[
        float | None, typer.Option("--auroc", help="What published models reach. Default: 0.8.")
    ] = None,
    colluders: Annotated[
        int | None, typer.Option("--colluders", min=0, help="Hospitals that may collude.")
    ] = None,
    budget: Annotated[
        float, typer.Option("--budget", help="A hospital's life-long epsilon, to show its share.")
    ] = 10.0,
    runs: Annotated[
        int, typer.Option("--runs", min=1, help="How many are compared, for one price. Default: 1.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Advises mode, steps, learning rate, clip and start.

    It also says what they should reach.
    """
    from collegium.studies.planning.plan import plan_study
    from collegium.studies.question import PlanOptions

    options = PlanOptions(
        patients=patients, epsilon=epsilon, delta=delta, steps=steps, inputs=inputs,
        prevalence=prevalence, auroc=auroc, colluders=colluders, budget=budget,
        runs=runs,
    )  # fmt: skip
    read = None if study is None else read_study(study)
    emit(plan_study(read, options, answers(as_json)), as_json)
