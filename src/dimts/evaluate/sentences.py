"""Amharic sentences written for dimts, for demonstrations and comparisons of voices.

They are everyday prose and together contain every ejective, long and short consonants, ɨ in most places,
and the labialised consonants. Apache-2.0 like the code.
"""

from __future__ import annotations

GREETINGS = ("ሰላም ለዓለም። እንዴት ናችሁ?", "ዛሬ አየሩ በጣም ጥሩ ነው።", "አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት።")
"""Sentences for the first demonstration of a voice."""

SENTENCES = (
    "ልጆቹ ወደ ትምህርት ቤት ሄዱ።",
    "እናቴ ጣፋጭ ቡና አፈላች።",
    "መጽሐፉ በጠረጴዛው ላይ ነው።",
    "ነገ ጠዋት ወደ ባሕር ዳር እንሄዳለን።",
    "ገበሬው በሬዎቹን ጠምዶ እርሻውን አረሰ።",
    "ወንዙ ከተራራው ላይ ይወርዳል።",
    "ጓደኛዬ አዲስ መኪና ገዛ።",
    "ዝናቡ ከሰዓት በኋላ ጀመረ።",
    "እባክህ በሩን ዝጋው።",
    "አያቴ ብዙ ተረቶችን ይነግሩን ነበር።",
    "ተማሪዎቹ ጥያቄውን በትክክል መለሱ።",
    "ፀሐይ በምሥራቅ ትወጣለች።",
    "ጫማዬ ቆሻሻ ስለሆነ አጠብኩት።",
    "ስልኬን ቤት ውስጥ ረሳሁት።",
    "ሐኪሙ በሽተኛውን መረመረው።",
    "ድመቷ ከአልጋው ሥር ተኛች።",
    "ነፃነት ለሁሉም ሰው ያስፈልጋል።",
    "ዳቦ ቤቱ በጠዋት ይከፈታል።",
    "ወታደሮቹ በድልድዩ ላይ ቆሙ።",
    "ሙዚቃው እስከ ሌሊት ድረስ ቀጠለ።",
    "እንጀራና ወጥ እንወዳለን።",
    "ቤተሰቡ በበዓሉ ቀን ተሰበሰበ።",
    "ሹፌሩ መንገዱን ስቶ ወደ ገጠር ወጣ።",
    "እህቴ ትናንት አራት ብርቱካን ገዛች።",
)
"""Two dozen sentences for preparation, training and comparison."""
