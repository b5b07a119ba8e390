"""Plausible mistakes in chapter 02, as edits of its solution."""

from minipeft.course.wrong_answers import WrongAnswer

HIDDEN = "min(max(floor(length * noise_density + 0.5), 1), length - 1)"
SPANS = "max(floor(hidden / mean_span + 0.5), 1)"
BARS = "    bars = [-1, *sorted(generator.sample(range(places), parts - 1)), places]\n"
ONE_BY_ONE = """    sizes, left = [], items
    for _ in range(parts - 1):
        sizes.append(generator.randint(0, left))
        left -= sizes[-1]
    sizes.append(left)
"""
TO_BARS = "    bars = [sum(sizes[:part]) + part - 1 for part in range(parts + 1)]\n"
THROWN = """    sizes = [0] * parts
    for _ in range(items):
        sizes[generator.randrange(parts)] += 1
"""
SIDES = "            source.append(sentinel(pieces))\n            target.append(sentinel(pieces))\n"
NEW_PIECE = "        if piece % most == 0:\n"
TEXT = "        ids = list(range(1000, 1000 + length))  # no two alike\n"
COUNTS = '        assert len(target) == hidden + spans, "the counts are others"\n'
MARKS = '            assert marks == [sentinel(number) for number in range(spans)], "the sentinels are others"\n'
SAME = '        assert rebuild(source, target, sentinel) == ids, "the text is not what it was"\n'
BY_MARK = "spans.get(token, []) if token in marks"
CUT = "generator.randrange(1, len(piece))"
PIECE = "generator.randrange(max(len(ids) - room, 0) + 1)"

WRONG = [
    WrongAnswer("the hidden tokens are cut down, not rounded", "noise_counts", [
        (HIDDEN, HIDDEN.replace(" + 0.5", ""))]),
    WrongAnswer("halves of hidden tokens go to the even number", "noise_counts", [
        (HIDDEN, "min(max(round(length * noise_density), 1), length - 1)")]),
    WrongAnswer("halves of spans go to the even number", "noise_counts", [
        (SPANS, "max(round(hidden / mean_span), 1)")]),
    WrongAnswer("all halves go to the even number, as in T5", "noise_counts", [
        (HIDDEN, "min(max(round(length * noise_density), 1), length - 1)"),
         (SPANS, "max(round(hidden / mean_span), 1)")]),
    WrongAnswer("the spans are cut down, not rounded", "noise_counts", [(SPANS, SPANS.replace(" + 0.5", ""))]),
    WrongAnswer("the spans are counted from the whole text, not from the hidden tokens", "noise_counts", [
        (SPANS, "max(floor(length / mean_span + 0.5), 1)")]),
    WrongAnswer("a short text hides nothing", "noise_counts", [
        (HIDDEN, "min(floor(length * noise_density + 0.5), length - 1)")]),
    WrongAnswer("a text may be hidden whole", "noise_counts", [
        (HIDDEN, "max(floor(length * noise_density + 0.5), 1)")]),
    WrongAnswer("there may be no span at all", "noise_counts", [(SPANS, "floor(hidden / mean_span + 0.5)")]),
    WrongAnswer("every span is given a visible token before it, as in T5", "noise_counts", [
        ("length - hidden + 1", "length - hidden")]),
    WrongAnswer("there may be more spans than visible tokens to part them", "noise_counts", [
        ("min(spans, length - hidden + 1, sentinels)", "min(spans, sentinels)")]),
    WrongAnswer("there may be more spans than sentinels", "noise_counts", [(", sentinels)", ")")]),

    WrongAnswer("the last part is forgotten", "random_composition", [(", places]", "]")]),
    WrongAnswer("the first part is forgotten", "random_composition", [("bars = [-1, *sorted", "bars = [*sorted")]),
    WrongAnswer("two bars may fall into the same place", "random_composition", [
        ("generator.sample(range(places), parts - 1)", "generator.choices(range(places), k=parts - 1)")]),
    WrongAnswer("no part is ever 0, as in the chapter", "random_composition", [
        (BARS, "    cuts = [0, *sorted(generator.sample(range(1, max(items, parts)), parts - 1)), items]\n"
         "    bars = [cut + part - 1 for part, cut in enumerate(cuts)]\n")]),
    WrongAnswer("the first place is never a bar", "random_composition", [
        ("range(places)", "range(min(1, places - parts + 1), places)")]),
    WrongAnswer("the last place is never a bar", "random_composition", [
        ("range(places)", "range(max(places - 1, parts - 1))")]),
    WrongAnswer("the bars are not sorted", "random_composition", [
        ("*sorted(generator.sample(range(places), parts - 1))", "*generator.sample(range(places), parts - 1)")]),
    WrongAnswer("the parts are made as equal as they can be", "random_composition", [
        (BARS, "    sizes = [items * (one + 1) // parts - items * one // parts for one in range(parts)]\n" + TO_BARS)]),
    WrongAnswer("each part is drawn from what the ones before have left", "random_composition", [
        (BARS, ONE_BY_ONE + TO_BARS)]),
    WrongAnswer("the parts of the loop are shuffled afterwards", "random_composition", [
        (BARS, ONE_BY_ONE + "    generator.shuffle(sizes)\n" + TO_BARS)]),
    WrongAnswer("the items are thrown into the parts one by one", "random_composition", [(BARS, THROWN + TO_BARS)]),

    WrongAnswer("every hidden token gets a sentinel of its own", "source_and_target", [
        (NEW_PIECE, "        if True:\n")]),
    WrongAnswer("long spans are not cut, as in T5", "source_and_target", [(NEW_PIECE, "        if piece == 0:\n")]),
    WrongAnswer("only the first cut of a span is made", "source_and_target", [
        (NEW_PIECE, "        if piece in (0, most):\n")]),
    WrongAnswer("a piece has one token too many", "source_and_target", [
        (NEW_PIECE, "        if piece % (most + 1) == 0:\n")]),
    WrongAnswer("the count of a piece runs on behind visible tokens", "source_and_target", [
        ("            piece = 0\n", "")]),
    WrongAnswer("all pieces share the first sentinel", "source_and_target", [("            pieces += 1\n", "")]),
    WrongAnswer("the sentinels stand in the source only", "source_and_target", [
        (SIDES, "            source.append(sentinel(pieces))\n")]),
    WrongAnswer("the sentinels stand in the target only", "source_and_target", [
        (SIDES, "            target.append(sentinel(pieces))\n")]),
    WrongAnswer("the sentinels are numbered from 1", "source_and_target", [
        ("source, target, pieces, piece = [], [], 0, 0", "source, target, pieces, piece = [], [], 1, 0")]),
    WrongAnswer("hidden tokens stay in the source as well", "source_and_target", [
        ("        target.append(token)\n        piece += 1", "        target.append(token)\n"
         "        source.append(token)\n        piece += 1")]),
    WrongAnswer("the target is closed by one more sentinel", "source_and_target", [
        ("    return source, target\n\n\nLENGTHS", "    return source, [*target, sentinel(pieces)]\n\n\nLENGTHS")]),
    WrongAnswer("source and target are exchanged", "source_and_target", [
        ("    return source, target\n\n\nLENGTHS", "    return target, source\n\n\nLENGTHS")]),

    WrongAnswer("end-of-sequence is not counted", "lengths", [("(73, 63)", "(72, 62)")]),
    WrongAnswer("49.5 hidden tokens are cut down to 49", "lengths", [("(73, 63)", "(74, 62)")]),
    WrongAnswer("12.5 spans are rounded up to 13", "lengths", [("(73, 63)", "(74, 64)")]),
    WrongAnswer("the sentinels are not counted", "lengths", [("(73, 63)", "(61, 51)")]),
    WrongAnswer("the sentinels are counted in the source only", "lengths", [("(73, 63)", "(73, 51)")]),
    WrongAnswer("every hidden token is given its own sentinel", "lengths", [("(73, 63)", "(111, 101)")]),
    WrongAnswer("a closing sentinel is counted in the target", "lengths", [("(73, 63)", "(73, 64)")]),
    WrongAnswer("the settings are those of T5, 0.15 and 3", "lengths", [("(73, 63)", "(100, 22)")]),
    WrongAnswer("target and source are exchanged", "lengths", [("(73, 63)", "(63, 73)")]),

    WrongAnswer("end-of-sequence is counted on neither side", "longest_text", [("(568, 114)", "(569, 113)")]),
    WrongAnswer("the source of this text no longer fits", "longest_text", [("(568, 114)", "(569, 114)")]),
    WrongAnswer("the text itself is held to 512 tokens", "longest_text", [("(568, 114)", "(512, 104)")]),
    WrongAnswer("the sentinels are left out of the source", "longest_text", [("(568, 114)", "(601, 121)")]),
    WrongAnswer("a closing sentinel is counted in the target", "longest_text", [("(568, 114)", "(568, 115)")]),
    WrongAnswer("a longer text would still fit", "longest_text", [("(568, 114)", "(567, 114)")]),
    WrongAnswer("the sentinels are left out of the target", "longest_text", [("(568, 114)", "(568, 86)")]),
    WrongAnswer("every hidden token is given its own sentinel", "longest_text", [("(568, 114)", "(511, 155)")]),
    WrongAnswer("the ids of the source are given, not those of the target", "longest_text", [
        ("(568, 114)", "(568, 512)")]),

    WrongAnswer("the spans are taken in their order, not by their sentinels", "rebuild", [
        ("    ids = []\n    for token in source:",
         "    ids, hidden = [], iter(spans.values())\n    for token in source:"),
        (BY_MARK, "next(hidden, []) if token in marks")]),
    WrongAnswer("the last span is left out", "rebuild", [
        ("    ids = []\n    for token in source:", "    spans[mark] = []\n    ids = []\n    for token in source:")]),
    WrongAnswer("the last token of the target is taken for a closing sentinel", "rebuild", [
        ("for token in target:", "for token in target[:-1]:")]),
    WrongAnswer("the sentinels stay in the text", "rebuild", [
        (f"ids += {BY_MARK}", "ids += [token, *spans.get(token, [])] if token in marks")]),
    WrongAnswer("all spans are one list", "rebuild", [
        ("spans, mark = {}, None", "spans, mark = dict.fromkeys(marks, []), None"),
         ("            spans[mark] = []\n", "")]),
    WrongAnswer("each span holds its first token only", "rebuild", [
        ("            spans[mark].append(token)", "            spans[mark] = spans[mark] or [token]")]),
    WrongAnswer("each span holds its last token only", "rebuild", [
        ("            spans[mark].append(token)", "            spans[mark] = [token]")]),
    WrongAnswer("the hidden spans are left out", "rebuild", [(BY_MARK, "[] if token in marks")]),
    WrongAnswer("the spans are put in backwards", "rebuild", [
        (BY_MARK, "spans.get(token, [])[::-1] if token in marks")]),
    WrongAnswer("a sentinel that the target leaves out stays in the text", "rebuild", [
        (BY_MARK, "spans.get(token, [token]) if token in marks")]),

    WrongAnswer("the order of the tokens is not looked at", "check_corruption", [
        (SAME, "        assert sorted(rebuild(source, target, sentinel)) == ids\n")]),
    WrongAnswer("only one short text is tried", "check_corruption", [("(2, 3, 8, 20, 33, 60, 75)", "(10,)")]),
    WrongAnswer("no text above fifty tokens is tried", "check_corruption", [("33, 60, 75)", "33)")]),
    WrongAnswer("all tokens of the text are alike", "check_corruption", [(TEXT, "        ids = [1000] * length\n")]),
    WrongAnswer("the numbers of the sentinels are not looked at", "check_corruption", [
        (MARKS, "            assert len(marks) == spans\n")]),
    WrongAnswer("the counts are not looked at", "check_corruption", [(COUNTS, ""),
        (MARKS, "            assert marks == [sentinel(number) for number in range(len(marks))]\n")]),
    WrongAnswer("source and target are never put together again", "check_corruption", [(SAME, "")]),
    WrongAnswer("the text is compared, and nothing is done with what comes out", "check_corruption", [
        (SAME, "        rebuild(source, target, sentinel) == ids  # noqa: B015\n"), (COUNTS, "")]),
    WrongAnswer("a closing sentinel is asked for", "check_corruption", [
        (COUNTS, ""),
        (MARKS, "            assert marks[:spans] == [sentinel(number) for number in range(spans)]\n"
                "        assert target[-1] == sentinel(spans)\n")]),
    WrongAnswer("only one length of span is let pass", "check_corruption", [
        (SAME, SAME + "        assert spans < 2 or target[2] != sentinel(1)\n")]),

    WrongAnswer("the text is always cut in the middle", "prefix_split", [(CUT, "len(piece) // 2")]),
    WrongAnswer("there may be nothing to read", "prefix_split", [(CUT, "generator.randrange(0, len(piece))")]),
    WrongAnswer("there may be nothing to write", "prefix_split", [(CUT, "generator.randint(1, len(piece))")]),
    WrongAnswer("the last place is never cut", "prefix_split", [
        (CUT, "generator.randrange(1, max(len(piece) - 1, 2))")]),
    WrongAnswer("the token at the cut is lost", "prefix_split", [("piece[cut:]", "piece[cut + 1 :]")]),
    WrongAnswer("the whole piece is to be written", "prefix_split", [
        ("return piece[:cut], piece[cut:]", "return piece[:cut], piece")]),
    WrongAnswer("the part to read ends with a sentinel", "prefix_split", [
        ("return piece[:cut], piece[cut:]", "return [*piece[:cut], sentinel(0)], piece[cut:]")]),
    WrongAnswer("the two parts are exchanged", "prefix_split", [
        ("return piece[:cut], piece[cut:]", "return piece[cut:], piece[:cut]")]),
    WrongAnswer("a later cut is likelier than an earlier one", "prefix_split", [
        (CUT, "max(generator.randrange(1, len(piece)), generator.randrange(1, len(piece)))")]),
    WrongAnswer("the piece is always the beginning of the text", "prefix_split", [(PIECE, "0")]),
    WrongAnswer("the piece that ends the text is never taken", "prefix_split", [
        (PIECE, "generator.randrange(max(len(ids) - room, 1))")]),
    WrongAnswer("`room` is what is read, not both parts together", "prefix_split", [
        ("ids[start : start + room]", "ids[start:]")]),
]  # fmt: skip
