"""Which help texts fit what a user has written: scored word by word, without a model.

BM25 (Robertson and Zaragoza 2009, Foundations and Trends in Information Retrieval 3(4)) over title, statements and
questions; the texts of a product are few, so a dictionary of words is all that it takes. The order is the same
everywhere: ties go by id.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict

from personas.help import Help

K1, B = 1.2, 0.75
WORD = re.compile(r"[^\W_]+")
#: Words that more than this share of the texts have tell nothing of what a text is about.
COMMON = 0.3
#: How many texts an assistant is shown.
SHOWN = 3


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return WORD.findall(text.lower())


class Retrieval:
    """The help texts of one product, ready to be searched."""

    def __init__(self, help_: Help) -> None:
        documents = {
            id_: words_of(" ".join((text.title, *text.text, *text.questions))) for id_, text in help_.texts.items()
        }
        mean = sum(map(len, documents.values())) / len(documents)
        holding = Counter(word for words in documents.values() for word in set(words))
        common = {word for word, texts in holding.items() if texts > COMMON * len(documents)}
        #: word -> what it adds to the score of each text that has it
        self._scores: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for id_, words in documents.items():
            for word, times in Counter(words).items():
                if word in common:
                    continue
                rarity = math.log(1 + (len(documents) - holding[word] + 0.5) / (holding[word] + 0.5))
                length = K1 * (1 - B + B * len(words) / mean)
                self._scores[word].append((id_, rarity * times * (K1 + 1) / (times + length)))

    def best(self, text: str, count: int = SHOWN) -> list[str]:
        """The ids of the texts that fit best, best first; fewer where fewer have a telling word in common."""
        scores: dict[str, float] = {}
        for word in words_of(text):
            for id_, score in self._scores.get(word, ()):
                scores[id_] = scores.get(id_, 0.0) + score
        return sorted(scores, key=lambda id_: (-scores[id_], id_))[:count]
