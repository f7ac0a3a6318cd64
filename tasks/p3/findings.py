"""What the doctor finds of P3's templates and data, and the rules that templates may break."""

from dataclasses import dataclass, field

from .rendering import Dropped

SPLITS = ("train", "validation", "test")

PARSES = "a template can be parsed"
RENDERS = "a template can be rendered"
READABLE = "a file of templates can be read"
HAS_COLUMNS = "the data have the columns that templates read"
GIVES_EXAMPLES = "a template makes an example of some rows"
HAS_TARGET = "the target is one of the choices"
HAS_CHOICES = "choices are two or more"
NO_EMPTY_CHOICE = "no choice is empty"
KNOWN_FIELDS = "the fields of a template are PromptSource's"
KNOWN_METRICS = "the metrics of a template are PromptSource's"
DIFFERS = "the templates of a data set differ in their text"
OWN_NAME = "each template is a task of its own name"

# Role → the first mixture that trains on it, in T0's list.
TRAINED = {"T0": "t0", "T0+": "t0p", "T0++": "t0pp"}
SCORED, BIAS = "eval", "bias"


@dataclass(frozen=True)
class TreeInUse:
    """The templates that are checked.

    Attributes:
        datasets, templates: how many there are.
        of_t0: how many of the templates on T0's released list are among them.
        without_data: the number of data sets that have no rows and are not on T0's list.
    """

    kind: str = field(default="tree", init=False)
    folder: str
    version: str
    fingerprint: str
    datasets: int
    templates: int
    of_t0: int
    without_data: int


@dataclass(frozen=True)
class Data:
    """The state of the data of one data set.

    Attributes:
        group: what it asks for, such as sentiment. Empty if it is not on T0's list.
        t0: T0, T0+ or T0++, the first that is trained on it; eval if T0 is scored on it; bias if
            its bias is measured by it.
        state: present, partial (it lacks a split that T0 uses), missing or broken.
        folder: where its files are, or empty.
        tfds: TFDS's names of splits that have no files.
        rows: split → the number of rows; of ANLI, split_round.
        unused_columns: those that no template reads.
        advice: what to do if it is not present.
    """

    kind: str = field(default="data", init=False)
    dataset: str
    group: str
    t0: list[str]
    state: str
    templates: int
    folder: str = ""
    tfds: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    licence: str = ""
    unused_columns: list[str] = field(default_factory=list)
    advice: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it has files, be they damaged."""
        return bool(self.folder or self.tfds)


@dataclass(frozen=True)
class Fault:
    """A rule that templates break."""

    kind: str = field(default="fault", init=False)
    dataset: str
    templates: list[str]
    value: str
    rule: str
    repair: str


@dataclass(frozen=True)
class Drops:
    """The rows that a template is applied to, and those that give no example.

    Attributes:
        tried: split → the number of rows.
        dropped: split → reason → the number of rows.
        details: reason → what more is known of the first row.
    """

    kind: str = field(default="drops", init=False)
    dataset: str
    template: str
    tried: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(sum(reasons.values()) for reasons in self.dropped.values())

    def add(self, split: str, found: Dropped) -> None:
        reasons = self.dropped.setdefault(split, {})
        reasons[found.reason] = reasons.get(found.reason, 0) + 1
        self.details.setdefault(found.reason, found.detail)


Finding = TreeInUse | Data | Fault | Drops
