"""Print every word of a text with its spoken form, its phones, and the backend that knew them.

python examples/phone_table.py [TEXT]
"""

import sys

import dimts

text = " ".join(sys.argv[1:]) or "ልጁ በ3 ብር ዳቦ ገዛ።"
for phrase in dimts.phonemise(text):
    for word in phrase.words:
        print(f"{word.written}\t{word.spoken}\t{' '.join(word.phones)}\t{word.by}\t{word.score:.2f}")
