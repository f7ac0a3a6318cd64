"""Ten templates for each dataset of reading comprehension with commonsense."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "cosmos_qa": (
        (
            (
                "Someone writes in a diary:\n\n{context}\n\nRead between the lines. {question}"
                "\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{question}\n\nThe post below hints at it without saying so outright. Choose "
                "what it suggests.\n\n{context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Blog post: {context}\nQuestion: {question}\nMost sensible answer:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Put yourself in the place of the person who is telling this.\n\n{context}\n\n"
                "{question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "It takes some knowledge of people to answer a question about this anecdote. "
                "Which answer would you give?\n\nAnecdote: {context}\n\nQuestion: {question}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A friend sent me these lines:\n\n{context}\n\nI have been wondering about them: "
                "{question}\nTell me what you think.\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The text may not state the answer in so many words, so infer it and choose from "
                "the list.\n\n{question}\n\nText: {context}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Having read this account of somebody's everyday life, what do you conclude?\n\n"
                "{context}\n\nTo be decided: {question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{context}\n\nIn a multiple-choice test on this text, the correct choice is "
                '"{answer}". Write the question that goes with it.'
            ),
            "{question}",
        ),
        (
            (
                "Tell a small personal story of a few lines. A reader who is then asked "
                '"{question}" is supposed to choose the answer "{answer}".'
            ),
            "{context}",
        ),
    ),
    "record": (
        (
            (
                "News report:\n\n{passage}\n\nThe sentence that follows is about this report, "
                "but stops short. Choose how it goes on.\n\n{query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{passage}\n\nAn editor wants to add one more sentence to this article. Which of "
                "the options completes it?\n\nSentence: {query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "Article: {passage}\nUnfinished statement: {query}\nCompletion:\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Who or what belongs at the point where the statement breaks off? Judge by the "
                "article, and choose the wording that completes the statement correctly.\n\n"
                "Statement: {query}\n\nArticle: {passage}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The paper carried this story today.\n\n{passage}\n\nA colleague who is "
                "retelling it gets stuck: {query}\n\nHelp out with the right ending.\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Several names occur in the report, but only one of them makes the sentence "
                "under it true. Select the ending with that name.\n\nReport: {passage}\n\n"
                "Sentence: {query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The end of a photo caption was cut off. With the story that it belongs to in "
                "front of you, restore it.\n\nStory: {passage}\n\nCaption: {query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{passage}\n\nBearing in mind what has been reported here, go on with this line:"
                "\n{query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Do as a proofreader would: read the news item, and supply the lost remainder of "
                "the sentence printed after it.\n\n{passage}\n\n{query}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Each option begins with somebody or something and ends the sentence in the same "
                "way. Which of them is accurate, according to the journalist?\n\nThe journalist: "
                "{passage}\n\nThe sentence: {query}\n\n{options_}"
            ),
            "{answer}",
        ),
    ),
}
