"""Ten templates for each dataset of paraphrase detection."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "glue_mrpc": (
        (
            (
                "Two newspapers covered one event.\n\n"
                "The first wrote: {sentence1}\n\n"
                "The second wrote: {sentence2}\n\n"
                "Do they say the same?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Agency report: {sentence1}\n"
                "Later report: {sentence2}\n"
                "Is the later report a rewording of the agency's?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Could an editor replace this sentence\n\n"
                "{sentence1}\n\n"
                "by this one\n\n"
                "{sentence2}\n\n"
                "without changing what readers learn?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Decide whether the numbered sentences are paraphrases of each other. Answer "
                "yes or no.\n\n"
                "1. {sentence1}\n"
                "2. {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A news site wants to carry each piece of news only once. It already has "
                "this:\n\n"
                "{sentence1}\n\n"
                "Now the following comes in:\n\n"
                "{sentence2}\n\n"
                "Does the site have that already?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Let small differences in wording pass, but not differences in fact. By that "
                "standard, do A and B have the same meaning?\n\n"
                "A: {sentence1}\n"
                "B: {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("{sentence1}\n\n{sentence2}\n\nSame message?\n\n{options_}", "{answer}"),
        (
            (
                "One journalist put it this way: {sentence1}\n\n"
                "A colleague put it this way: {sentence2}\n\n"
                "Is the difference just a matter of style?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "This morning I read:\n\n"
                "{sentence1}\n\n"
                "This evening I read:\n\n"
                "{sentence2}\n\n"
                "Have I been told the same thing twice?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A trainee had to rewrite a sentence from the news in other words. Has its "
                "meaning been kept?\n\n"
                "Sentence from the news: {sentence1}\n\n"
                "Trainee's version: {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
    ),
    "glue_qqp": (
        (
            (
                "Question 1: {question1}\n"
                "Question 2: {question2}\n\n"
                "Would one answer do for both?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Someone is about to post this on a question-and-answer site:\n\n"
                "{question2}\n\n"
                "The site already has this:\n\n"
                "{question1}\n\n"
                "Is the new question a repetition?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "As a moderator you merge questions that ask for the same thing. Should "
                "these two be merged?\n\n"
                "- {question1}\n"
                "- {question2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{question1}\n\n"
                "{question2}\n\n"
                "Do the people who wrote these want to know the same thing?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "User A asks: {question1}\n\n"
                "User B asks: {question2}\n\n"
                "User A has got a full answer. If we simply showed it to user B, would that "
                "be all that user B needs?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Is the second question just another way of putting the first?\n\n"
                "First: {question1}\n"
                "Second: {question2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Look past the wording of these questions to what is being asked. Is it the "
                "same?\n\n"
                "(a) {question1}\n"
                "(b) {question2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            "Duplicate check\nNew: {question1}\nOn file: {question2}\nDuplicate?\n\n{options_}",
            "{answer}",
        ),
        (
            (
                'Type "yes" if the questions below have the same intent. Type "no" if one '
                "could be answered and the other still be open.\n\n"
                "{question1}\n"
                "{question2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A friend sends me a message:\n\n"
                '"{question1}"\n\n'
                "A minute later she sends another:\n\n"
                '"{question2}"\n\n'
                "Has she only rephrased her question?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
    ),
    "paws_wiki": (
        (
            (
                "These two sentences share nearly all their words. Do they share their "
                "meaning too?\n\n"
                "{sentence1}\n"
                "{sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The words of a sentence were moved around. Is the meaning still what it was?\n\n"
                "Before: {sentence1}\n"
                "After: {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "An online encyclopedia used to say:\n\n"
                "{sentence1}\n\n"
                "After an edit it says:\n\n"
                "{sentence2}\n\n"
                "Does it still state the same facts?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{sentence1}\n\n"
                "Can one say the following instead and make no different claim?\n\n"
                "{sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Watch closely who did what, to whom, where and when.\n\n"
                "Sentence A: {sentence1}\n"
                "Sentence B: {sentence2}\n\n"
                "Is B a true paraphrase of A?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Some edits to an article do no harm; others quietly switch two names, "
                "places or dates.\n\n"
                "Old version: {sentence1}\n\n"
                "New version: {sentence2}\n\n"
                "Is this an edit that does no harm?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Whenever one of the sentences below is true, is the other one true as well?\n\n"
                "* {sentence1}\n"
                "* {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Version one: {sentence1}\n"
                "Version two: {sentence2}\n\n"
                "Would a reader of version two come away with exactly the knowledge that "
                "version one gives?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("Equivalent?\n\n1) {sentence1}\n2) {sentence2}\n\n{options_}", "{answer}"),
        (
            (
                'Compare two sentences that look much alike. Write "yes" if they mean the '
                'same and "no" if they do not.\n\n'
                "{sentence1}\n\n"
                "{sentence2}"
            ),
            "{answer}",
        ),
    ),
    "stsb": (
        (
            (
                "Which figure from 0 to 5 best tells how much these two sentences have in "
                "common? If they mean the same, it is 5; if they have nothing to do with "
                "each other, it is 0.\n\n"
                "{sentence1}\n\n"
                "{sentence2}\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "Sentence 1: {sentence1}\n"
                "Sentence 2: {sentence2}\n\n"
                "In meaning, are they the same, nearly the same, much alike, somewhat alike, "
                "barely alike or not alike? Reply with 5 for the first of these, 0 for the "
                "last, and the numbers in between for the others.\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "How many points out of 5 does this pair deserve for likeness of meaning?\n\n"
                "{sentence1}\n"
                "{sentence2}\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "{sentence1}\n\n"
                "{sentence2}\n\n"
                "To what degree do these two lines tell us the same? Let 0 stand for "
                "unconnected topics and 5 for full agreement in content.\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "Scoring guide: 0 for no connection, 1 for the same topic and no more, 2 for "
                "some details in common, 3 for much the same but with something important "
                "missing or different, 4 for the same but for trifles, 5 for the same.\n\n"
                "First text: {sentence1}\n"
                "Second text: {sentence2}\n\n"
                "What is the score of this pair?\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "A program that groups headlines, captions and forum posts needs a whole "
                "number from 0 to 5 for each pair of texts. The closer their meaning, the "
                "higher the number. Which number should it get for this pair?\n\n"
                "* {sentence1}\n"
                "* {sentence2}\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            (
                "The task was to say this in other words:\n\n"
                "{sentence1}\n\n"
                "The result was this:\n\n"
                "{sentence2}\n\n"
                "On a scale that ends at 5 for perfect and starts at 0 for completely off, "
                "how much of the meaning has been preserved?\n\n"
                "{options_}"
            ),
            "{answer_str}",
        ),
        (
            "Text A: {sentence1}\nText B: {sentence2}\nSemantic similarity (0 to 5):\n\n{options_}",
            "{answer_str}",
        ),
        (
            (
                "On a ladder of likeness, rung 5 is for sentences that mean what a given one "
                "means, and rung 0 for those that have nothing to do with it. Think of a "
                "sentence for rung {answer_str} when this is the given one:\n\n"
                "{sentence1}"
            ),
            "{sentence2}",
        ),
        (
            (
                "{sentence2}\n\n"
                "Judges compared what this says with what another sentence says, and rated "
                "the match at {answer_str} out of 5. What might the other sentence be?"
            ),
            "{sentence1}",
        ),
    ),
}
