"""Chat logs for scripts/bench, the same on every machine: python3 chats.py DIR VERSION [MEGABYTES]

JSON Lines, as a support service exports them: ids, times, speakers, texts of everyday words by Zipf's law. Version 2
is version 1 with about 1 % more: replies in a few spots of the past, and new chats at the end.
"""

import json
import pathlib
import random
import sys

FILES = 10
MESSAGE_BYTES = 333  # about, on average: what turns a size into a number of messages
VOCABULARY = 6000
ONSETS = "b c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh sl sp st t th tr v w wh".split()
NUCLEI = "a e i o u ai ea ee ie oa oo ou y".split()
CODAS = "b ck d f g l ll m n nd ng nk nt p r rd rk rm rt s sh ss st t th x".split() + [""] * 12
COMMON = """the to I you is a it and my in that have for not of on your can this we with be but order me do are please if
was at when there will account has how hello thanks what our get an app from or no so yes now just payment page any
help as one working email out up still login all they been see try which did day check time would after could
password again delivery customer invoice address number problem today sorry send subscription password error team
website need know refund back chat ticket agent plan card change update let wait moment information product
possible system user""".split()


def vocabulary(dice):
    words = list(dict.fromkeys(COMMON))
    known = set(words)
    while len(words) < VOCABULARY:
        word = "".join(
            dice.choice(ONSETS) + dice.choice(NUCLEI) + dice.choice(CODAS)
            for _ in range(dice.choice((1, 2, 2, 2, 3, 3)))
        )
        if word not in known:
            known.add(word)
            words.append(word)
    return words


class Chats:
    """Makes one chat after another."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.words = vocabulary(random.Random("words"))
        self.weights = []
        total = 0.0
        for rank in range(1, VOCABULARY + 1):
            total += 1 / (rank + 12)
            self.weights.append(total)
        self.clock = 1_760_000_000_000

    def texts(self, count):
        """That many messages; words are drawn at once, since drawing one by one takes most of the time."""
        lengths = [1 + int(self.dice.expovariate(1 / 18)) for _ in range(count)]
        drawn = iter(self.dice.choices(self.words, cum_weights=self.weights, k=sum(lengths)))
        for length in lengths:
            text = " ".join([next(drawn) for _ in range(length)])
            yield text[0].upper() + text[1:] + self.dice.choice(".....?!")

    def chat(self):
        """The lines of one chat, and how many messages it has."""
        dice = self.dice
        self.clock += dice.randrange(90_000)
        thread, customer = f"{dice.getrandbits(128):032x}", f"u{dice.randrange(4_000_000):07d}"
        tenant, agent = dice.randrange(40), f"agent{dice.randrange(400)}@example.com"
        moment, lines = self.clock, []
        for number, text in enumerate(self.texts(2 + int(dice.expovariate(1 / 9)))):
            moment += dice.randrange(2_000, 70_000)
            author = agent if number % 2 else customer
            message = {
                "id": f"{thread[:12]}_{number + 1}",
                "thread": thread,
                "license": 1_000_000 + 7919 * tenant,
                "type": "message",
                "created_at": moment,
                "author": {"type": "agent" if number % 2 else "customer", "id": author},
                "text": text,
                "seen": dice.random() < 0.9,
            }
            lines.append(json.dumps(message, separators=(",", ":")))
        return lines


def write(path, version, index, size):
    chats, more = Chats(f"chats {index}"), Chats(f"more {index}")
    messages = size // FILES // MESSAGE_BYTES
    # Two spots in every other file, a thirtieth of a percent of it each; the last file grows at its end.
    spots = (messages // 5, messages * 3 // 5) if version == 2 and index % 2 else ()
    extra = messages // 100
    written, spots = 0, list(spots)
    with path.open("w", encoding="utf-8") as file:

        def put(source, count):
            done = 0
            while done < count:
                lines = source.chat()
                file.write("\n".join(lines) + "\n")
                done += len(lines)
            return done

        while written < messages:
            if spots and written >= spots[0]:
                spots.pop(0)
                put(more, extra // 2)
            written += put(chats, 1)
        if version == 2 and index == FILES - 1:
            put(more, messages // 20)


def main():
    directory, version = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 250
    directory.mkdir(parents=True, exist_ok=True)
    for index in range(FILES):
        write(directory / f"chats-{index:02}.jsonl", version, index, size * 1_000_000)


main()
