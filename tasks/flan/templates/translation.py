"""Ten templates for each dataset of translation."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "para_crawl": (
        (
            "This sentence comes from a web page in {lang1}:\n\n{sent1}\n\nPut it into {lang2}.",
            "{sent2}",
        ),
        (
            "Our website is getting pages in {lang2}. Here is a piece of text from one of the "
            "{lang1} pages; write the {lang2} text that should replace it.\n\n{sent1}",
            "{sent2}",
        ),
        ("{sent1}\n\nWhat would the {lang2} edition of this site say here?", "{sent2}"),
        ("Web text in {lang1}: {sent1}\nThe same text in {lang2}:", "{sent2}"),
        (
            "A visitor who reads only {lang2} has come upon the following line on a website. Tell "
            "the visitor what it says.\n\n{sent1}",
            "{sent2}",
        ),
        ("Localize this bit of a web page for readers of {lang2}: {sent1}", "{sent2}"),
        (
            "Act as the translate button of a browser. The page is in {lang1}, and the reader has "
            "asked for {lang2}.\n\n{sent1}",
            "{sent2}",
        ),
        ("I found this on a site in {lang2} and need it in {lang1}:\n\n{sent2}", "{sent1}"),
        (
            "Someone has pasted a snippet of a {lang2} page into our chat:\n\n{sent2}\n\nReply "
            "with nothing but its {lang1} translation.",
            "{sent1}",
        ),
        (
            "{sent2}\n\nThe makers of a website had their {lang1} texts translated into {lang2}, "
            "and this is one of the results. What did the original say?",
            "{sent1}",
        ),
    ),
    "wmt14_enfr": (
        ("Write the following sentence in {lang2}.\n\n{sent1}", "{sent2}"),
        (
            "A news agency sends out its reports in {lang1} and in {lang2}. This line exists only "
            "in {lang1} so far:\n\n{sent1}\n\nProvide the other version.",
            "{sent2}",
        ),
        ("From {lang1} to {lang2}, please: {sent1}", "{sent2}"),
        (
            "You are interpreting for a delegate who follows the debate in {lang2}. The words to "
            "interpret are these:\n\n{sent1}\n\nWhat does the delegate hear from you?",
            "{sent2}",
        ),
        ("How would a journalist who writes in {lang2} put this?\n\n{sent1}", "{sent2}"),
        (
            "{sent1}\n\nRender the passage above in {lang2}, leaving nothing out and adding "
            "nothing.",
            "{sent2}",
        ),
        (
            "I have to hand in a faithful {lang2} translation of some {lang1} prose, and I cannot "
            "get any further with this part. Can you do it for me?\n\n{sent1}",
            "{sent2}",
        ),
        (
            "Below is a sentence in {lang2}. Express the same thing in {lang1}.\n\n{sent2}",
            "{sent1}",
        ),
        (
            "My {lang2} is rusty, so I am not sure that I understand this. What is it in "
            "{lang1}?\n\n{sent2}",
            "{sent1}",
        ),
        (
            "{sent2}\n\nThe report that these words are from has to reach readers of {lang1} as "
            "well as those of {lang2}. Write the words that they should see.",
            "{sent1}",
        ),
    ),
    "wmt16_translate": (
        ("Translate the text below out of {lang1} and into {lang2}.\n\n{sent1}", "{sent2}"),
        (
            "Tomorrow's {lang2} edition is to carry this too: {sent1}\nHow should it read there?",
            "{sent2}",
        ),
        (
            "Language of the original: {lang1}\nOriginal: {sent1}\nLanguage of the translation: "
            "{lang2}\nTranslation:",
            "{sent2}",
        ),
        ("{sent1}\n\nSay that in {lang2}.", "{sent2}"),
        (
            "A bilingual newsreader gives every item twice, first in {lang1}, then in {lang2}. "
            "She has just read:\n\n{sent1}\n\nWhat comes next?",
            "{sent2}",
        ),
        (
            "I am learning {lang2} and would like to see how an expert translates a sentence such "
            "as this one.\n\n{sent1}",
            "{sent2}",
        ),
        (
            "A broadcast in {lang1} needs subtitles in {lang2}. Which subtitle goes with these "
            "words?\n\n{sent1}",
            "{sent2}",
        ),
        (
            "Here is a line from the press in {lang2}:\n\n{sent2}\n\nWhat is its equivalent in "
            "{lang1}?",
            "{sent1}",
        ),
        ("Turn this {lang2} into natural {lang1}: {sent2}", "{sent1}"),
        (
            "{sent2}\n\nOur editor knows {lang1} but not a word of {lang2}. Let her know what is "
            "written here.",
            "{sent1}",
        ),
    ),
}
