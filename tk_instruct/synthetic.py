"""What the suites' synthetic data share: words, sentences with rules, and trees that are whole."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tk_instruct.cache_folder import default_cache_dir, kept_tree
from tk_instruct.files import PathLike, write_tree
from tk_instruct.randomness import draw

_DIGEST = "sha256"  # the file with the hash of all others

# Seven words in each list: seven is prime, so steps of any other size reach all words.
WORDS: Mapping[str, list[str]] = {
    slot: words.split()
    for slot, words in {
        "name": "Anna Tom Maria José Lucy Omar Zoë",
        "place": "park school beach market station library garden",
        "colour": "red blue green yellow black white brown",
        "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "thing": "ball kite lamp clock basket letter bottle",
        "animal": "dog cat cow horse sheep duck lion",
        "number": "2 3 4 5 6 7 8",
        "food": "French Greek Thai Indian Turkish Mexican Polish",
        "verb": "runs sleeps plays waits sits hides eats",
        "work": "film book play song show story meal",
        "good": "good great lovely superb charming perfect delightful",
        "bad": "bad weak boring dull terrible dreadful horrible",
        "world": "war treaty army border vote embassy president",
        "sport": "match goal cup race coach team trophy",
        "business": "profit loan market share sale tax price",
        "science": "rocket planet robot virus software telescope chip",
    }.items()
}
ROWS: Mapping[str, list[list[str]]] = {
    slot: [row.split(": ") for row in rows.split(" / ")]
    for slot, rows in {
        "sound": "dog: barks / cat: meows / cow: moos / horse: neighs / duck: quacks / "
        "lion: roars / wolf: howls",
        "capital": "France: Paris / Italy: Rome / Spain: Madrid / Japan: Tokyo / Egypt: Cairo / "
        "Peru: Lima / Cuba: Havana",
        "tool": "cut bread: knife / eat soup: spoon / write a letter: pen / open a door: key / "
        "dry a plate: towel / sew a shirt: needle / sweep a floor: broom",
        "event": "{name} dropped the glass.: The glass broke. / It rained all day.: The grass was "
        "wet. / {name} ate nothing.: {name} was hungry. / {name} won the race.: {name} was happy. "
        "/ The sun came out.: The snow melted. / {name} lost the key.: The door stayed shut. / "
        "{name} worked all night.: {name} was tired.",
        "meaning": "bank: The boat lay at the bank.: The bank lent {name} money. / "
        "bat: A bat flew from the cave.: {name} hit the ball with a bat. / "
        "light: The bag is light.: The light in the hall is on. / "
        "spring: The flowers come in spring.: The chair has a loose spring. / "
        "ring: {name} wears a gold ring.: We heard the telephone ring. / "
        "park: The children play in the park.: {name} could not park the car. / "
        "match: {name} lit the candle with a match.: Our team won the match.",
        # Questions and answers on SCENE.
        "asked": "Who saw the {thing}?: {name} / What colour was the {thing}?: {colour} / "
        "Where was the {thing}?: the {place} / When did {name} see the {thing}?: {day} / "
        "What did {name} see?: a {colour} {thing}",
    }.items()
}

SCENE = "{name} saw a {colour} {thing} at the {place} on {day}."
SAME_SCENE = "On {day} {name} saw a {colour} {thing} at the {place}."
OTHER_SCENE = (
    "On {day} {name} saw a {colour2} {thing} at the {place}. / "
    "On {day} {name2} saw a {colour} {thing} at the {place}."
)
ENTAILED = "{name} saw a {thing}. / The {thing} was {colour}. / {name} was at the {place}."
OPEN = "{name} bought a {thing2}. / {name2} likes the {thing}. / {name} has a {animal}."
CONTRADICTED = "The {thing} was {colour2}. / {name} never saw the {thing}."


class Words(dict[str, Any]):
    """Slot → word, for one example. A word is drawn when its slot is first used.

    What is drawn is a function of the purpose, the dataset's name, the split and the index.

    {name2} is another word than {name}. {sound[1]} is the second column of the row {sound}.
    {sound_2of4} is for position 2, from 0, of 4 options: `index` decides which of the positions has
    {sound}, and the other positions have other rows.
    """

    def __init__(self, purpose: str, name: str, split: str, index: int):
        self.purpose, self.name, self.split, self.index = purpose, name, split, index

    def __missing__(self, slot: str) -> Any:
        parts = re.fullmatch(r"([a-z]+)(_\dof)?(\d?)", slot)
        assert parts, slot
        stem, position, number = parts.groups()
        if position:
            nth = (int(position[1]) - self.index) % int(number)
            return self[f"{stem}{nth + 1}"]
        row = self.draw(WORDS.get(stem) or ROWS[stem], stem, int(number or 1) - 1)
        self[slot] = [text.format_map(self) for text in row] if isinstance(row, list) else row
        return self[slot]

    def draw(self, options: Any, purpose: str, nth: int = 0) -> Any:
        chance = draw(0, f"{self.purpose} {purpose}", self.name, self.split, str(self.index))
        step = 1 + (chance >> 32) % max(1, len(options) - 1)
        return options[(chance + nth * step) % len(options)]

    def fill(self, template: Any) -> Any:
        """A template with all slots filled.

        A text with " / " has alternatives, of which one is drawn. The items of a tuple take turns,
        by index, so that they agree with the labels.
        """
        match template:
            case str():
                return self.draw(template.split(" / "), template).format_map(self)
            case tuple():
                return self.fill(template[self.index % len(template)])
            case list():
                return [self.fill(each) for each in template]
            case dict():
                return {key: self.fill(each) for key, each in template.items()}
        return template(self) if callable(template) else template


def write_whole(directory: PathLike, fill: Callable[[Path], None], what: str) -> Path:
    """Writes a tree as files.write_tree does, and in it a hash of all its files.

    A directory with this hash and undamaged files holds the tree already.
    """

    def fill_and_sign(tree: Path) -> None:
        fill(tree)
        (tree / _DIGEST).write_text(_digest(tree))

    return write_tree(directory, fill_and_sign, is_there=_is_whole, what=what)


def kept_mini(
    suite: str, write: Callable[[PathLike], PathLike], sources: Iterable[PathLike]
) -> str:
    """The path of a suite's synthetic data in the cache folder. Writes it if it is not there.

    sources: the files of code that it is made by, besides this one.
    """
    code = b"".join(Path(source).read_bytes() for source in (*sources, __file__))
    version = hashlib.sha256(code).hexdigest()[:8]
    return kept_tree(default_cache_dir() / f"mini-{suite}-{version}", write)


def _is_whole(directory: Path) -> bool:
    try:
        return (directory / _DIGEST).read_text() == _digest(directory)
    except OSError:
        return False


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != _DIGEST:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(directory)}\0{content}\0".encode())
    return digest.hexdigest()
