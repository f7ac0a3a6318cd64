"""Ten templates for each dataset of commonsense reasoning."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "copa": (
        (
            (
                "{premise}\n\nOf the two sentences below, which one gives the likelier "
                "{question} of what is said here?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            ("Tell me the most believable {question} of the following.\n\n{premise}\n\n{options_}"),
            "{answer}",
        ),
        (
            "Situation: {premise}\nAsked for: its {question}\nSentence chosen:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "I know only one thing about what went on. What would common sense name as its "
                "{question}?\n\n{premise}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Two friends are talking, and one of them says this:\n\n{premise}\n\nThe other "
                "wonders about the {question}. Which thought should come to mind?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "What leads to what in everyday life? Read the sentence, and then pick the "
                "option that is its {question}.\n\nSentence: {premise}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Fact: {premise}\n\nOnly one of two things is a reasonable {question} of it. Say "
                "which.\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{premise}\n\nGiven how the world usually works, the {question} of this was "
                "probably one of the following. Which was it?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Consider this sentence: {answer}\n\nIt describes the {question} of something "
                "else. Say in one sentence what that something was."
            ),
            "{premise}",
        ),
        (
            ("Fill in the missing line of the note.\n\nWhat happened: ?\nIts {question}: {answer}"),
            "{premise}",
        ),
    ),
    "hellaswag": (
        (
            (
                "{context}\n\nThe description stops here. Choose the words with which it goes on."
                "\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A video is being described, or a guide is being read out. So far you have heard "
                "this:\n\n{context}\n\nWhich of the four continuations do you have most reason "
                "to expect?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Three of the endings on offer make no sense after this beginning. Find the one "
                "that does.\n\nBeginning: {context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "What comes after this, if everything goes as it usually does?\n\n{context}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Here is the first part of a short text about an activity:\n\n{context}\n\nThe "
                "second part was torn off. Identify it among these scraps.\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Take up the thread where the writer leaves off. Which option would you write "
                "down?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "An editor of captions and instructions has to match openings with endings. The "
                "opening on the desk is this one:\n\n{context}\n\nMatching ending:\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Picture the scene.\n\n{context}\n\nNow pick what you would see or be told next."
                "\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            ("Text: {context}\nTask: select the continuation that is true to life.\n\n{options_}"),
            "{answer}",
        ),
        (
            (
                "Use your knowledge of how people act and how things are done to finish the "
                "passage with one of the options.\n\nPassage: {context}\n\n{options_}"
            ),
            "{answer}",
        ),
    ),
    "story_cloze": (
        (
            (
                "Four sentences of a five-sentence story are given. Which fifth sentence rounds "
                "it off?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "{context}\n\nHow do you think it all turned out?\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "I have begun a little story but cannot decide between two last lines. Help me "
                "take the one that agrees with what is there already.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Story: {context}\nClosing sentence:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "A child has heard the tale below up to its last sentence and asks for the rest. "
                "What do you read out?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "One of two endings goes against everything in this story, and the other belongs "
                "to it. Give the one that belongs.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Judge by what the people in the story did, felt and wanted: what happened at "
                "the end?\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The last page of a very short story is missing.\n\n{context}\n\nDecide what was "
                "printed on it.\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Invent the four sentences that lead up to this ending of a short story: {answer}",
            "{context}",
        ),
        (
            (
                "The final line of my story is going to be:\n\n{answer}\n\nI still need "
                "everything before it. Please write the beginning and the middle, four sentences "
                "in all."
            ),
            "{context}",
        ),
    ),
    "piqa": (
        (
            (
                "Which of two pieces of household advice would really work here?\n\n{goal}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            "Aim: {goal}\nMethod that works:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Someone good with their hands is asked for help with the following. What do "
                "they recommend?\n\n{goal}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "{goal}\n\nTwo suggestions have come in. Keep the practical one.\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Think of materials, tools and how objects behave, and then choose the suitable "
                "way to do what is asked.\n\nWhat is asked: {goal}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "An entry on a how-to website begins with the line below. Two users have each "
                "written the rest of it, and one of the two is mistaken. Select the text that "
                "should be published.\n\n{goal}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Before I try this out at home: which course of action is the sound one?\n\n"
                "Purpose: {goal}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Only one of the options does the job. The job is this: {goal}\n\n{options_}",
            "{answer}",
        ),
        (
            "What might a person who follows this advice be trying to do?\n\n{answer}",
            "{goal}",
        ),
        (
            (
                "Here is a tip from a collection of practical tips, without its heading.\n\nTip: "
                "{answer}\n\nSupply the heading, which says what the tip is good for."
            ),
            "{goal}",
        ),
    ),
}
