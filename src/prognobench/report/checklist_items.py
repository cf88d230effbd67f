"""The items of two reporting guidelines, in our own words; their texts are the publishers'.

TRIPOD+AI: Collins et al. 2024, BMJ 385:e078378, with 27 items in 52 parts. CLAIM: its 2024 update,
Tejani et al. 2024, Radiology: Artificial Intelligence 6:e240300, with 44 items, numbered otherwise
than those of 2020 (Mongan et al.) from item 11 on. The third entry of an item names what the tool
knows of it (:mod:`prognobench.report.checklist`); an empty one is for the authors alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Item(NamedTuple):
    """An item: its number, what it asks for, what the tool knows, and what is left to say."""

    number: str
    topic: str
    known: str = ""
    left: str = ""


TRIPOD_AI: Final = (
    Item("1", "A title that names the kind of study, the outcome and the patients"),
    Item("2", "An abstract by the guideline's own list"),
    Item("3a", "Why the prediction is needed, and what models exist"),
    Item("3b", "For whom and for what decision it is meant"),
    Item("3c", "Known inequalities in health between groups of patients"),
    Item("4", "What the study set out to do", "aim"),
    Item("5a", "Where the data are from", "source", "whether they represent the intended patients"),
    Item("5b", "When the patients were seen and how long they were followed"),
    Item("6a", "The setting: kind and number of centres", "sites", "kind of care, places"),
    Item(
        "6b", "Who was included and left out", "flow", "criteria applied before the data came here"
    ),
    Item("6c", "Treatments, and how they were dealt with"),
    Item("7", "How data were prepared, the same for all groups", "preprocessing"),
    Item(
        "8a", "The outcome, its time horizon, how it was assessed", "outcome", "horizon, assessment"
    ),
    Item("8b", "Who assessed a subjective outcome"),
    Item("8c", "Whether assessors knew the predictors"),
    Item("9a", "Which predictors were considered, and why", "predictors"),
    Item("9b", "How and when predictors were measured", "timing", "devices, acquisition"),
    Item("9c", "Who assessed subjective predictors"),
    Item("10", "How the sample size was reached", "size", "why it suffices"),
    Item("11", "Missing data", "missing"),
    Item("12a", "How data were divided for training and testing", "splits"),
    Item("12b", "How predictors enter the models", "preprocessing"),
    Item("12c", "The models, how they were built, tuned and internally validated", "models"),
    Item("12d", "Differences between centres or groups", "clusters"),
    Item("12e", "How performance is measured", "metrics"),
    Item("12f", "Changes to a model after evaluation", "updating"),
    Item("12g", "How predictions are made in evaluation", "prediction"),
    Item("13", "What was done about imbalance of the classes", "imbalance"),
    Item("14", "What was done about fairness", "subgroups", "why these groups"),
    Item("15", "What the model gives out, and how a threshold was chosen", "output"),
    Item("16", "Differences between data for development and evaluation", "difference"),
    Item("17", "Ethical approval and consent"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Where the protocol is", "spec", "a protocol written before the study"),
    Item("18d", "Registration"),
    Item("18e", "Whether the data can be had", "licence"),
    Item("18f", "Whether the code can be had", "code"),
    Item("19", "Part that patients and the public had"),
    Item("20a", "Flow of participants, with and without the outcome", "flow", "follow-up time"),
    Item("20b", "Characteristics of the participants", "characteristics", "a table of the cohort"),
    Item("20c", "Comparison of development and evaluation data", "difference"),
    Item("21", "Patients and events in each analysis", "size"),
    Item("22", "The whole model, so that others can predict", "model_files"),
    Item("23a", "Performance with intervals, in subgroups as well", "performance"),
    Item("23b", "Differences in performance between centres", "clusters"),
    Item("24", "Results of updating a model", "updating"),
    Item("25", "Interpretation, fairness included"),
    Item("26", "Limitations", "limitations", "those of the study's design"),
    Item("27a", "How poor or missing input is dealt with in use"),
    Item("27b", "What users have to do, and what they must know for it"),
    Item("27c", "Next steps"),
)

CLAIM: Final = (
    Item("1", "A title that says which kind of artificial intelligence was used"),
    Item("2", "A summary of design, methods, results and conclusions"),
    Item("3", "Background, intended use and role"),
    Item("4", "Aims and hypotheses", "aim", "hypotheses"),
    Item("5", "Prospective or retrospective"),
    Item("6", "Goal of the study", "aim"),
    Item("7", "Sources of data", "source"),
    Item("8", "Who was included and left out", "flow", "criteria applied before"),
    Item("9", "Steps of preprocessing", "preprocessing"),
    Item("10", "Selection of parts of the data", "selection"),
    Item("11", "De-identification", "pseudonyms", "what was done at the source"),
    Item("12", "Missing data", "missing"),
    Item("13", "How images were acquired"),
    Item("14", "How the reference standard was obtained", "outcome", "who recorded it, and how"),
    Item("15", "Why this reference standard"),
    Item("16", "Source of the reference standard: who annotated, how prepared"),
    Item("17", "Annotation of the test set"),
    Item("18", "Variability within and between annotators"),
    Item("19", "How data were assigned to parts", "splits"),
    Item("20", "At which level the parts are disjoint", "disjoint"),
    Item("21", "Intended sample size", "size", "how it was decided on"),
    Item("22", "Description of the model", "models"),
    Item("23", "Software", "software"),
    Item("24", "Initialisation of parameters", "initialisation"),
    Item("25", "Training: augmentation, hyper-parameters", "training"),
    Item("26", "How the final model is chosen", "choice"),
    Item("27", "Ensembles", "ensembles"),
    Item("28", "Metrics of performance", "metrics"),
    Item("29", "Statistical significance and uncertainty", "uncertainty"),
    Item("30", "Robustness and sensitivity", "robustness"),
    Item("31", "Explanation of the models", "saliency"),
    Item("32", "Testing on internal data", "prediction"),
    Item("33", "Testing on external data", "difference"),
    Item("34", "Registration of a clinical trial"),
    Item("35", "Patients or examinations included and left out, in numbers", "flow"),
    Item("36", "Characteristics of the patients in each part", "characteristics", "by part"),
    Item("37", "Performance with its uncertainty", "performance"),
    Item("38", "Diagnostic performance with its precision", "performance"),
    Item("39", "Analysis of wrong cases", "failures", "a reader's look at wrong cases"),
    Item("40", "Limitations", "limitations", "those of the study's design"),
    Item("41", "What it means for practice, intended use"),
    Item("42", "Where the whole protocol can be read", "spec", "a protocol written before"),
    Item("43", "Whether software, model and data can be had", "code", "model and data"),
    Item("44", "Funding, and the part of the funders"),
)

GUIDELINES: Final = {
    "TRIPOD+AI": (TRIPOD_AI, "Collins et al. 2024, BMJ 385:e078378"),
    "CLAIM": (
        CLAIM,
        "2024 update: Tejani et al. 2024, Radiology: Artificial Intelligence 6:e240300",
    ),
}
"""The guidelines with their sources."""
