"""Patterns of the words beside a number that show its kind: months, eras, words of counting."""

from __future__ import annotations

import re

from dimts.text.reading import AMHARIC, any_spelling

MONTH = any_spelling(
    "(?:መስከረም|ጥቅምት|[ህሀ]ዳር|ታ[ህሀ]ሳስ|ጥር|የካቲት|መጋቢት|ሚያዝያ|ሚያዚያ|ግንቦት|ሰኔ|ሀምሌ|ነሀሴ|[ጳጷፓ]ጉሜን?|"
    "ጃንዋሪ|ጃንዩወሪ|ጃኑዋሪ|ጃንዩዋሪ|ፌብሩዋሪ|ፌብሯሪ|ፌብርዋሪ|ፌብራዋሪ|ፌቡራሪ|ፌብሩአሪ|ፌብሩወሪ|ማርች|ኤፕሪል|አፕሪል|ሜይ|ጁን|ጁላይ|ኦገስት|ኦጎስት|ሴፕቴምበር|ሰፕቴምበር|ሴፕተምበር|"
    "ኦክቶበር|አክቶበር|ኖቬምበር|ኖቨምበር|ዲሴምበር|ዲሰምበር)"
)
"""The months of both calendars in their usual spellings."""
_AND = r"(?: ?(?:[-–—፣,]|እስከ|እና|ና|ወይም) ?\d{1,2}(?: ?ቀን)?)"
MONTH_DAY_BEFORE = re.compile(
    rf"{MONTH}(?: ወር)?(?: ?(?:\d{{1,2}}|[፩-፴]{{1,2}})(?: ?ቀን)?{_AND}{{0,3}}(?: ?ቀን)?)?[፣,/]? ?$"
)
"""A month, perhaps with its days, just before a number: that number is a year."""
MONTH_BEFORE = re.compile(rf"{MONTH} ?$")
DAYS_BEFORE = re.compile(rf"{MONTH}(?: ወር)? ?\d{{1,2}}(?: ?ቀን)?{_AND}{{0,2}} ?(?:[-–—፣,]|እስከ|እና|ና|ወይም) ?$")
"""A month and days before a further day: ታኅሣሥ 15 እስከ …"""
PLURAL = "(?:ዎች|ኦች|[ሆሎሞሮሶሾቆቦቶቾኖኞኮዎዞዮዶጆጎጦጮጾፎ]ች)"
COUNTED = re.compile(
    any_spelling(
        rf" ?(?:(?!የ)[{AMHARIC}]{{1,20}}{PLURAL}|ብር|ዶላር|ሜትር|ኪሎ|ሰው|ሄክታር|ቶን|ኩንታል|ሊትር|ግራም|ኮፒ|ገጽ|"
        r"ሺህ|ሺ |ሚሊዮን|ጊዜ|በመቶ|ፐርሰንት|ዶላር|ክፍል|አባ|ቀን|አመት|ወር|ሰአት|ደቂቃ|ተማሪ|ነዋሪ|ካሬ|%|[.,/]\d)"
    )
)
"""Words after a number that counts and is no year: a plural, a unit, a magnitude."""
COUNTED_PLURAL = re.compile(rf" (?!የ)[{AMHARIC}]{{1,20}}{PLURAL}")
"""A plural noun after a number."""
_POINTLESS = rf"(?:[አኤጎግኢ]አ)(?![{AMHARIC}])"
_BY = any_spelling(rf"እ(?: ?[./] ?[ኤአጎግ] ?[./] ?አ\.?|(?! ?ኢ){_POINTLESS})")
"""According to the Gregorian calendar, with points, strokes or neither: እ.ኤ.አ, እአአ, እጎአ."""
_COUNT = " ?(?:አቆጣጠር|ዘመን አቆጣጠር|ዘመን|አመት|ካላንደር)"
_WESTERN = (
    rf"(?:(?:[ኤአ]ውሮፓ(?:ውያኑ?)?|ፈረንጆቹ?|ጎርጎሮሳውያኑ?|ጎርጎሪያኑ?|ግሪጎሪያኑ?|ግሪጎሪ){_COUNT}"
    "|[ኤአ]ውሮፓውያኑ?|ፈረንጆቹ|[በከ]ፈረንጆች|ጎርጎሮሳውያኑ?|ግሪጎሪያኑ?)"
)
_TO_NUMBER = " ?(?:ከ|በ|የ|እስከ|ለ)?$"
GREGORIAN_BEFORE = re.compile(
    any_spelling(rf"(?:(?<![{AMHARIC}])[በከየለ]?{_BY}|{_WESTERN}|G\.?C\.?|GC|AD|CE)") + _TO_NUMBER
)
"""Names of the Gregorian calendar just before a number."""
GREGORIAN_AFTER = re.compile(any_spelling(rf" ?\(?(?:{_BY}|በ?{_WESTERN}|G\.?C|AD|GC)"))
ETHIOPIAN_AFTER = re.compile(
    any_spelling(
        rf" ?\(?(?:አ ?\.? ?/? ?ም(?![{AMHARIC}])|አመተ ምህረት|አ\.ም|እ[./]ኢ[./]አ|እኢአ(?![{AMHARIC}])|"
        rf"በ?ኢትዮጵያ(?:ውያን)?{_COUNT}|E\.?C)"
    )
)
_ETHIOPIAN = any_spelling(
    rf"(?:(?<![{AMHARIC}])[በከየለ]?(?:እ[./]ኢ[./]አ\.?|እኢአ)|ኢትዮጵያ(?:ውያን)?{_COUNT}|E\.?C\.?)"
)
ERA_AFTER = re.compile(
    any_spelling(
        rf" ?\(?(?:አ ?\.? ?/?ም(?![{AMHARIC}])|አመተ|እ\.ኤ|እ\.አ|እ\.ጎ|እ\.ግ|"
        rf"እ/[ኤአጎግኢ]|እ{_POINTLESS}|ቅ\.ል|G\.?C|E\.?C|AD|BC)"
    )
    + r"| ?[ዓዐ][./]ዓ"
)
ERA_BEFORE = re.compile(
    any_spelling(rf"(?:(?<![{AMHARIC}])[በከየለ]?{_BY}|{_WESTERN}|{_ETHIOPIAN}|አቆጣጠር|አመተ ምህረት|አ\.ም\.?)")
    + _TO_NUMBER
)
YEAR_BEFORE = re.compile(
    any_spelling(
        r"(?:(?:^| )እስከ|(?:1[89]|20)\d\d[^\d\n]{0,14}(?:እስከ|እና|ወይም|ና|፣|,)|ኦሎምፒክ|(?:አለም|አፍሪካ) ዋንጫ) ?(?:በ|ከ)?$"
    )
)
"""A year just before, an event that is named by its year, or እስከ: 1935 እስከ 1941, የዓለም ዋንጫ 1998, እስከ 1983."""
YEAR_PREFIXES = ("በ", "ከ", "የ", "ለ", "እስከ", "ወደ", "እንደ", "ስለ", "ከነ", "እስከነ")
MODERN_YEARS = range(1800, 2101)
"""Numbers that are likely to be years when their prefix suits."""
