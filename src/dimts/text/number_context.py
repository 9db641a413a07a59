"""What stands beside a number and tells what it is: months, eras, words of counting. Patterns only."""

from __future__ import annotations

import re

from dimts.text.reading import FIDEL

MONTH = (
    "(?:መስከረም|ጥቅምት|[ኅህሕኀ]ዳር|ታ[ኅህሕኀ][ሣሳ][ሥስ]|ጥር|የካቲት|መጋቢት|ሚያዝያ|ሚያዚያ|ግንቦት|ሰኔ|[ሐሀ]ምሌ|ነ[ሐሀ]ሴ|ጳጉሜን?|"
    "ጃንዋሪ|ጃንዩወሪ|ጃኑዋሪ|ጃንዩዋሪ|ፌብሩዋሪ|ፌብሯሪ|ፌብርዋሪ|ፌብራዋሪ|ፌቡራሪ|ፌብሩአሪ|ፌብሩወሪ|ማርች|ኤፕሪል|አፕሪል|ሜይ|ጁን|ጁላይ|ኦገስት|ኦጎስት|ሴፕቴምበር|ሰፕቴምበር|ሴፕተምበር|"
    "ኦክቶበር|አክቶበር|ኖቬምበር|ኖቨምበር|ዲሴምበር|ዲሰምበር)"
)
"""The months of both calendars in their usual spellings."""
MONTH_DAY_BEFORE = re.compile(
    rf"{MONTH}(?: ወር)?(?: ?(?:\d{{1,2}}|[፩-፴]{{1,2}})(?: ?[-–] ?\d{{1,2}})?(?: ?ቀን)?)?[፣,/]? ?$"
)
"""A month, perhaps with its day, just before a number: that number is a year."""
MONTH_BEFORE = re.compile(rf"{MONTH} ?$")
COUNTED = re.compile(
    rf" ?(?:[{FIDEL}]{{2,20}}(?:ዎች|ኦች|[ሆሎሞሮሶሾቆቦቶቾኖኞኮዎዞዮዶጆጎጦጮጾፎ]ች)|ብር|ዶላር|ሜትር|ኪሎ|ሰው|ሄክታር|ቶን|ኩንታል|ሊትር|ግራም|ኮፒ|ገጽ|ገፅ|"
    r"ሺህ|ሺ |ሚሊዮን|ጊዜ|በመቶ|ፐርሰንት|ዶላር|ክፍል|አባ|ቀን|ዓመት|አመት|ወር|ሰዓት|ደቂቃ|ተማሪ|ነዋሪ|ካሬ|%|[.,/]\d)"
)
"""What follows a number that counts, and is no year: a plural, a unit, a magnitude."""
ERA_AFTER = re.compile(r" ?\(?(?:ዓ ?\.? ?/?ም|አ\.ም|አ/ም|ዓመተ|አመተ|ዓ\.ዓ|ዓ/ዓ|እ\.ኤ|እ\.አ|እ/ኤ|ቅ\.ል|G\.?C|E\.?C|AD|BC)")
ERA_BEFORE = re.compile(r"(?:እ[./] ?[ኤአ][./] ?አ\.?|አቆጣጠር|[ዓአ]መተ ም[ህሕ]ረት|ዓ\.ም\.?) ?(?:ከ|በ|የ|እስከ|ለ)?$")
YEAR_BEFORE = re.compile(r"(?:1[89]|20)\d\d[^\d\n]{0,14}(?:እስከ|እና|ወይም|ና|፣|,) ?(?:በ|ከ)?$")
"""A year just before: 1935 እስከ 1941."""
YEAR_PREFIXES = ("በ", "ከ", "የ", "ለ", "እስከ", "ወደ", "እንደ", "ስለ", "ከነ", "እስከነ")
MODERN_YEARS = range(1800, 2101)
"""Numbers that are likely to be years when their prefix suits."""
