"""The 25 instruction types of IFEval (Zhou et al., arXiv 2311.07911), under their public ids.

They agree with the reference (`instruction_following_eval/instructions.py` of google-research, and its copy in
lm-evaluation-harness), quirks included: keywords are patterns found anywhere in a word, letters are counted in
small letters, a repeated prompt is compared without its case. Differences, all deliberate:

- empty output passes nothing;
- a text whose language cannot be told passes no check of language or case (the reference passes it);
- a missing, negative or impossible argument is an error (the reference draws one at random);
- a letter may be any one character (the reference replaces "#" by a random letter);
- sentences: see `sentences.py`; languages: langdetect with a fixed seed.
"""
