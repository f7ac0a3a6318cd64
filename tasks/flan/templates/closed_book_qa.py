"""Ten templates for each dataset of closed-book question answering."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "arc": (
        (
            "From a science exam for schools:\n\n{question}\n\n{options_}",
            "{answer}",
        ),
        (
            "Which choice would earn the mark?\n\n{question}\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "{question}\n\nChoose with the help of what you know about nature, matter and "
                "technology.\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A teacher is writing the key to a science test. Enter the correct choice for "
                "this item.\n\nItem: {question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Closed books, please. Only one of the options for this problem is right.\n\n"
                "Problem: {question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Think like a scientist and decide.\n\n{question}\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "My daughter is stuck on her science homework.\n\n{question}\n\nWhich option "
                "should I tell her to take?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Write a science question for pupils between eight and fourteen years of age. "
                "The right answer: {answer}"
            ),
            "{question}",
        ),
        (
            (
                '"{answer}" is the correct option in a multiple-choice item about living things, '
                "the earth, energy or the like. What does the item ask?"
            ),
            "{question}",
        ),
        (
            (
                "Key to a science test, next entry: {answer}\n\nTo which question might this "
                "entry belong?"
            ),
            "{question}",
        ),
    ),
    "natural_questions": (
        (
            "From memory and in a few words: {question}",
            "{answer}",
        ),
        (
            (
                "People ask search engines all sorts of things, for instance this: {question} "
                "What is the short answer?"
            ),
            "{answer}",
        ),
        (
            "{question} Give just the name, date, place or number that is asked for.",
            "{answer}",
        ),
        (
            'I wanted to look up "{question}" but the network is down. Do you happen to know?',
            "{answer}",
        ),
        (
            "Search query: {question}\nAnswer box:",
            "{answer}",
        ),
        (
            (
                "Without looking anything up, reply to the following as briefly as you can.\n\n"
                "{question}"
            ),
            "{answer}",
        ),
        (
            "{question}\n\nA full sentence is not needed; the bare fact will do.",
            "{answer}",
        ),
        (
            "Draw on your general knowledge. A user is curious: {question}",
            "{answer}",
        ),
        (
            (
                'You are a voice assistant. The user says, "{question}" and you respond with the '
                "fact alone."
            ),
            "{answer}",
        ),
        (
            ("What would an encyclopedia tell a person who asks this? Be concise.\n\n{question}"),
            "{answer}",
        ),
    ),
    "trivia_qa": (
        (
            "Pub quiz, round one: {question}",
            "{answer}",
        ),
        (
            "For ten points: {question}",
            "{answer}",
        ),
        (
            "{question}\n\nYou were first to the buzzer. Your answer, please!",
            "{answer}",
        ),
        (
            (
                "The contestant has thirty seconds for the next question. What should the "
                "contestant say?\n\n{question}"
            ),
            "{answer}",
        ),
        (
            "Quiz card\nFront: {question}\nBack:",
            "{answer}",
        ),
        (
            "Show off how much you know with this one: {question}",
            "{answer}",
        ),
        (
            (
                "My team cannot agree on the following, and phones are not allowed at the table. "
                "Help us out.\n\n{question}"
            ),
            "{answer}",
        ),
        (
            (
                "A quizmaster has lost the sheet with the solutions. What was the solution, a "
                "name or a few words, to this?\n\n{question}"
            ),
            "{answer}",
        ),
        (
            "Test yourself.\n\n{question}\n\nNow turn the page upside down. There it says:",
            "{answer}",
        ),
        (
            (
                "Calling all quiz fans and know-alls, here is something for you. One short "
                "answer is wanted.\n\n{question}"
            ),
            "{answer}",
        ),
    ),
}
