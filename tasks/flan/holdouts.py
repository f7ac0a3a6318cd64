"""The datasets of each mixture: all, all without a cluster or SuperGLUE, and the cluster ladder."""

from collections.abc import Iterable, Mapping, Sequence

from tk_instruct.data.origins import main_origins_of

from .datasets import CLUSTERS, DATASETS, Dataset

MAX_RATE = 3_000  # the maximum number of a dataset's examples that its mixing rate counts

SUPERGLUE = ("bool_q", "cb", "copa", "multirc", "record", "rte", "wic", "wsc")

# Held-out cluster → clusters too close to train on (Wei et al. 2022, section 2.2, footnote).
TOO_CLOSE: Mapping[str, tuple[str, ...]] = {
    "reading_comprehension": ("reading_comprehension_commonsense",),
    "commonsense": ("reading_comprehension_commonsense",),
    "reading_comprehension_commonsense": ("reading_comprehension", "commonsense"),
    "paraphrase": ("nli",),
    "nli": ("paraphrase",),
}

# The ladder adds the clusters in LADDER one by one, while those in LADDER_HELD_OUT are held out
# (section 4.1). Conversational QA is a part of the cluster miscellaneous.
LADDER_HELD_OUT = ("nli", "closed_book_qa", "commonsense")
LADDER = (
    "summarization",
    "translation",
    "reading_comprehension",
    "sentiment",
    "struct_to_text",
    "coreference",
    "conversational_qa",
)
CONVERSATIONAL_QA = ("coqa", "quac")

TRAINED_ON = tuple(dataset for dataset in DATASETS if dataset.is_in_mixtures)


def in_clusters(*clusters: str) -> tuple[Dataset, ...]:
    """The datasets of clusters, with those that no mixture has. Raises KeyError for other names."""
    unknown = [c for c in clusters if c not in (*CLUSTERS, "conversational_qa")]
    if unknown:
        raise KeyError(unknown[0])
    names = CONVERSATIONAL_QA if "conversational_qa" in clusters else ()
    return tuple(d for d in DATASETS if d.cluster in clusters or d.name in names)


def without(held_out: Sequence[Dataset], among: Iterable[Dataset] = TRAINED_ON) -> list[Dataset]:
    """The datasets that are not held out and share no source corpus with one that is.

    A source that only a small part comes from does not count, as it never did.
    """
    origins = frozenset[str]().union(*(main_origins_of(dataset.name) for dataset in held_out))
    return [
        dataset
        for dataset in among
        if dataset not in held_out and not main_origins_of(dataset.name) & origins
    ]


def holdout(cluster: str) -> list[Dataset]:
    """The training datasets if a cluster is held out. Clusters too close to it are left out too.

    Unlike the paper, also leaves out datasets that share a source corpus with one of the cluster,
    such as SQuAD, from which QNLI was made.
    """
    too_close = TOO_CLOSE.get(cluster, ())
    kept = [dataset for dataset in TRAINED_ON if dataset.cluster not in too_close]
    return without(in_clusters(cluster), kept)


def ladder(num_clusters: int) -> list[Dataset]:
    """The training datasets in the first clusters of the ladder, by the rules of without()."""
    added = in_clusters(*LADDER[:num_clusters])
    return without(in_clusters(*LADDER_HELD_OUT), [d for d in TRAINED_ON if d in added])


def datasets_by_mixture() -> dict[str, list[Dataset]]:
    """Name of a mixture → its datasets."""
    superglue = [dataset for dataset in DATASETS if dataset.name in SUPERGLUE]
    return {
        "flan_all": list(TRAINED_ON),
        **{f"flan_holdout_{cluster}": holdout(cluster) for cluster in CLUSTERS},
        "flan_holdout_superglue": without(superglue),
        **{f"flan_clusters_{n}": ladder(n) for n in range(1, len(LADDER) + 1)},
    }
