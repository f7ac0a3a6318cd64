"""Ten templates for each dataset of sentiment analysis."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "imdb_reviews": (
        (
            "{text}\n\nIs the reviewer's verdict on the film positive or negative?\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "While choosing a film for tonight you come across the following review. "
                "What attitude to the film does it take, on the whole?\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Sort this viewer's review into one of two piles, negative or positive.\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("Review: {text}\n\nOverall opinion of the film:\n\n{options_}", "{answer}"),
        (
            (
                "A viewer posted this on a film site:\n\n"
                "{text}\n\n"
                "The site puts a green mark beside positive reviews and a red one beside "
                "negative reviews. Which kind is this?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Determine the sentiment of the film review below. Mind irony, and reviews "
                "that praise a detail but condemn the whole.\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The makers of a film would like to know how it was received. One member of "
                "the audience wrote:\n\n"
                "{text}\n\n"
                "Was this person's reaction to the film negative or positive?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A film magazine prints letters from its readers. Contribute one in which "
                "you pass a {answer} judgement on a film."
            ),
            "{text}",
        ),
        (
            (
                "You have just watched a film and want to tell the rest of the internet what "
                "you made of it. Your opinion is {answer}. What do you write?"
            ),
            "{text}",
        ),
        (
            (
                "Thank you for reviewing a film with us!\n\n"
                "Your verdict: {answer}\n"
                "Your reasons, in as many words as you like:"
            ),
            "{text}",
        ),
    ),
    "sentiment140": (
        ("Tweet: {text}\nMood:\n\n{options_}", "{answer}"),
        (
            (
                "{text}\n\n"
                "Is the person who tweeted this in a positive or a negative frame of mind?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Label the tweet: positive if its author is happy, pleased, hopeful or "
                "thankful, negative if its author is sad, angry, worried or fed up.\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "An emoticon has been cut out of this tweet:\n\n"
                "{text}\n\n"
                "Which kind was it, negative like a sad face or positive like a smiling one?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You follow a friend on Twitter and see this new message:\n\n"
                "{text}\n\n"
                "What sort of emotion is your friend expressing?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "We are counting good-tempered tweets as positive and bad-tempered ones as "
                "negative. How should we count this one?\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A few words, some slang and a typo or two are enough to show a feeling. "
                "Which kind of feeling does the following tweet show?\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Let your followers on Twitter know what you are up to, in words that betray "
                "a {answer} feeling."
            ),
            "{text}",
        ),
        ("Something in your day has left you with {answer} feelings. What do you tweet?", "{text}"),
        (
            (
                "Compose a short message for Twitter. It should sound casual, as if typed on "
                "a phone, and its sentiment should be {answer}."
            ),
            "{text}",
        ),
    ),
    "yelp_polarity_reviews": (
        (
            (
                "A customer left this on the page of a local business:\n\n"
                "{text}\n\n"
                "Is it positive or negative feedback?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You own the business that the following review is about. For your records, "
                "how do you classify the customer's opinion?\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "One or two stars make a review negative, four or five make it positive. The "
                "stars of this review have been hidden:\n\n"
                "{text}\n\n"
                "Which is it?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("Customer's comments: {text}\n\nCustomer's experience:\n\n{options_}", "{answer}"),
        (
            (
                "I asked about a place in town, and somebody told me this:\n\n"
                "{text}\n\n"
                "Taken as a whole, is what they say about the place negative or positive?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Sum up the tone of the review below, which may be of a restaurant, a shop, "
                "a doctor or a hotel, in a single word.\n\n"
                "{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{text}\n\n"
                "A complaint counts as negative, a recommendation as positive. What does "
                "this review amount to?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Review a restaurant, a shop, a hotel or some other local business. Your "
                "overall judgement should be {answer}."
            ),
            "{text}",
        ),
        (
            (
                "Your visit to a business in your town was a {answer} experience. Tell other "
                "customers about it."
            ),
            "{text}",
        ),
        (
            "What might a customer whose opinion of a company is {answer} post about it online?",
            "{text}",
        ),
    ),
    "sst2": (
        (
            (
                "How does the author of this line feel about the film in question?\n\n"
                "{sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "These words are taken from a critic's article on a new film:\n\n"
                "{sentence}\n\n"
                "Do they express a positive or a negative view of it?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Words that the distributor would gladly print on a film's poster are "
                "positive; words that it would rather hide are negative. Which are these?\n\n"
                "{sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{sentence}\n\n"
                "Praise is positive and blame is negative. What is this bit of film "
                "criticism?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Classify the sentiment of a phrase from a film review as negative or "
                "positive.\n\n"
                "Phrase: {sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("Excerpt: {sentence}\nCritic's attitude:\n\n{options_}", "{answer}"),
        (
            (
                "Even a fragment of a sentence can give a film critic away. What does this "
                "one suggest that the critic's judgement was?\n\n"
                "{sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A website quotes what the papers say about films, and shows under each "
                "quotation whether it is positive or negative. What belongs under this "
                "quotation?\n\n"
                '"{sentence}"\n\n'
                "{options_}"
            ),
            "{answer}",
        ),
        ("Write a few words that could stand in a {answer} film review.", "{sentence}"),
        (
            (
                "You are a film critic, and your opinion of this week's new release is "
                "{answer}. Give us one phrase or sentence of your article."
            ),
            "{sentence}",
        ),
    ),
}
