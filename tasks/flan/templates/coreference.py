"""Ten templates for each dataset of coreference resolution."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "definite_pronoun_resolution": (
        (
            (
                '{sentence}\n\nWhom or what does the word "{pronoun}" stand for in this sentence?'
                "\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Put a noun phrase in the place of "{pronoun}" so that the sentence keeps its '
                "meaning. Which one do you take?\n\n{sentence}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Sentence: {sentence}\nPronoun: {pronoun}\nAntecedent:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                'There are two candidates for the pronoun "{pronoun}", but only one makes good '
                "sense. Name it.\n\n{sentence}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'A learner of English asks you who or what is meant by "{pronoun}" here:\n\n'
                "{sentence}\n\nWhat do you tell the learner?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Consider what is going on in the sentence, and then say to which of the two "
                '"{pronoun}" points back.\n\n{sentence}\n\n{options_}'
            ),
            "{answer}",
        ),
        (
            (
                'I have just read this:\n\n{sentence}\n\nI stumbled over "{pronoun}", which '
                "could mean either of two. Which one is it?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "In order to translate the following into a language with grammatical gender, I "
                'must know what "{pronoun}" refers to.\n\n{sentence}\n\n{options_}'
            ),
            "{answer}",
        ),
        (
            (
                'Spell it out: in the statement below, "{pronoun}" is a short way of saying what?'
                "\n\n{sentence}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Link the pronoun to its noun.\n\n{pronoun} -> ?\n\nIn context: {sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
    ),
    "winogrande": (
        (
            (
                "{context}\n\nTwo conclusions are on offer, each about somebody or something "
                "else. Which one is logical?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The writer stops just before a noun. With which option does the text make sense?"
                "\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "First half: {context}\nSecond half:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Ask yourself who or what the rest must be about, and then choose the rest.\n\n"
                "{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Two stories start alike and end differently, and one of them is absurd. This is "
                "how they start:\n\n{context}\n\nChoose the ending that is not absurd.\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Pick up the following text at the point where it is cut off. Your first words "
                "should name one of the people or things that have been mentioned already.\n\n"
                "{context}"
            ),
            "{answer}",
        ),
        (
            (
                "{context}\n\nGo on from here to the end of the sentence, beginning with "
                "whichever of the two people or things named so far is meant."
            ),
            "{answer}",
        ),
        (
            (
                "Start of the text: {context}\nRest of the text (first a name or noun that was "
                "used at the start, then what is said of it):"
            ),
            "{answer}",
        ),
        (
            (
                "The battery died while a friend was typing this message:\n\n{context}\n\nThe "
                "next thing was going to be a name or noun from the message itself. How was the "
                "message going to end?"
            ),
            "{answer}",
        ),
        (
            (
                "Which of the two comes next? Repeat the name or noun and finish the text, so "
                "that everything in it fits together.\n\n{context}"
            ),
            "{answer}",
        ),
    ),
    "wsc": (
        (
            '{context}\n\nIs it "{text1}" that "{text2}" refers to here?\n\n{options_}',
            "{answer}",
        ),
        (
            (
                'In the following, do "{text1}" and "{text2}" pick out one and the same person '
                "or thing?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Passage: {context}\nNoun phrase: {text1}\nPronoun: {text2}\nCoreferent?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Suppose that we wrote "{text1}" in the place of "{text2}". Would the text still '
                "say what its author meant?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'A reader takes the pronoun "{text2}" in these lines to mean "{text1}".\n\n'
                "{context}\n\nHas the reader understood them correctly?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'When the author says "{text2}", does the author have "{text1}" in mind?\n\n'
                "{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                '{context}\n\nIf you drew a line from "{text2}" to its antecedent, would the '
                'line end at "{text1}"?\n\n{options_}'
            ),
            "{answer}",
        ),
        (
            (
                "An annotator gives mentions of the same entity the same number. In this "
                'example, should "{text1}" and "{text2}" be given the same number?\n\nExample: '
                "{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Common sense tells us what a pronoun stands for. Does it tell us here that "
                '"{text2}" stands for "{text1}"?\n\n{context}\n\n{options_}'
            ),
            "{answer}",
        ),
        (
            (
                'Exercise on pronouns. Look for "{text2}" in the text, and ask yourself who or '
                'what is meant. Is the solution "{text1}"?\n\nText: {context}\n\n{options_}'
            ),
            "{answer}",
        ),
    ),
    "wsc273": (
        (
            (
                "{context}\n\nFor which of the two options is this the natural opening?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Until it has ended, nobody can tell where this remark is heading. Choose the "
                "end that a sensible person would put.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Opening: {context}\n\nThe two ways to continue differ only in whom or what they "
                "speak of. The correct one:\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You dictated a remark, but your secretary missed the end of it. This much is on "
                "paper: {context}\n\nWhat did you say next?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A machine finds this hard and a person finds it easy: which option completes "
                "the text?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Of the two endings for this text, one has the wrong person or thing in it. Give "
                "the other.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Fit two pieces of paper together. The left piece is shown here; the right piece "
                "is one of the options.\n\nLeft piece: {context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Read aloud up to the break, and then carry on with the option that keeps the "
                "facts straight.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "This much of an old letter is legible:\n\n{context}\n\nWhat comes after it is "
                "blurred, but it has to be one of two things. Which?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Knowing what you know about the world, resolve the puzzle: how does the text "
                "below proceed?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
    ),
}
