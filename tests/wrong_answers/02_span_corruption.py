"""Plausible mistakes in chapter 02, as edits of its solution."""

from minipeft.course.wrong_answers import WrongAnswer

HIDDEN = "min(max(round(length * noise_density), 1), length - 1)"
SPANS = "max(round(hidden / mean_span), 1)"
CUTS = (
    "    cuts = [0, *sorted(generator.sample(range(1, items), parts - 1)), items]  # which gaps between items are cut\n"
)
ONE_BY_ONE = """    cuts = [0]
    for left in range(parts - 1, 0, -1):
        cuts.append(generator.randint(cuts[-1] + 1, items - left))
    cuts.append(items)
"""
SHUFFLED = """    sizes = [after - before for before, after in pairwise(cuts)]
    generator.shuffle(sizes)
    cuts = [sum(sizes[:part]) for part in range(parts + 1)]
"""
THROWN = """    sizes = [1] * parts
    for _ in range(items - parts):
        sizes[generator.randrange(parts)] += 1
    cuts = [sum(sizes[:part]) for part in range(parts + 1)]
"""
START = "if mask[place] and (place == 0 or not mask[place - 1]):"
IN_SOURCE, IN_TARGET = "            source.append(sentinel(spans))\n", "            target.append(sentinel(spans))\n"
TEXT = "        ids = list(range(1000, 1000 + length))  # no two alike\n"
COUNTS = '        assert len(target) == hidden + spans, "the counts are others"\n'
MARKS = '            assert marks == [sentinel(number) for number in range(spans)], "the sentinels are others"\n'
SAME = '        assert rebuild(source, target, sentinel) == ids, "the text is not what it was"\n'
LAST = "    spans[mark] = span  # the last span is closed by the end of the target\n"
CUT = "generator.randint(1, len(ids) - 1)  # both ends included"

WRONG = [
    WrongAnswer("the hidden tokens are cut down, not rounded", "noise_counts", [
        (HIDDEN, HIDDEN.replace("round(", "int("))]),
    WrongAnswer("halves of hidden tokens are rounded up", "noise_counts", [
        (HIDDEN, "min(max(int(length * noise_density + 0.5), 1), length - 1)")]),
    WrongAnswer("halves of spans are rounded up", "noise_counts", [
        (SPANS, "max(int(hidden / mean_span + 0.5), 1)")]),
    WrongAnswer("the spans are cut down, not rounded", "noise_counts", [(SPANS, SPANS.replace("round(", "int("))]),
    WrongAnswer("the spans are counted from the whole text, not from the hidden tokens", "noise_counts", [
        (SPANS, "max(round(length / mean_span), 1)")]),
    WrongAnswer("a short text hides nothing", "noise_counts", [
        (HIDDEN, "min(round(length * noise_density), length - 1)")]),
    WrongAnswer("a text may be hidden whole", "noise_counts", [(HIDDEN, "max(round(length * noise_density), 1)")]),
    WrongAnswer("there may be no span at all", "noise_counts", [(SPANS, "round(hidden / mean_span)")]),
    WrongAnswer("there may be more spans than visible tokens to stand before them", "noise_counts", [
        ("min(spans, length - hidden)", "spans")]),

    WrongAnswer("the last part is forgotten", "random_composition", [("parts - 1)), items]", "parts - 1))]")]),
    WrongAnswer("the first part is forgotten", "random_composition", [("cuts = [0, *sorted", "cuts = [*sorted")]),
    WrongAnswer("two cuts may fall into the same gap", "random_composition", [
        ("generator.sample(", "generator.choices("),
        ("range(1, items), parts - 1)", "range(1, items), k=parts - 1)")]),
    WrongAnswer("a cut may fall before the first item", "random_composition", [("range(1, items)", "range(items)")]),
    WrongAnswer("a cut may fall behind the last item", "random_composition", [
        ("range(1, items)", "range(1, items + 1)")]),
    WrongAnswer("the last gap is never cut", "random_composition", [
        ("range(1, items)", "range(1, max(items - 1, parts))")]),
    WrongAnswer("the cuts are not sorted", "random_composition", [
        ("*sorted(generator.sample(range(1, items), parts - 1))",
        "*generator.sample(range(1, items), parts - 1)")]),
    WrongAnswer("the parts are made as equal as they can be", "random_composition", [
        (CUTS, "    cuts = [items * part // parts for part in range(parts + 1)]\n")]),
    WrongAnswer("each part is drawn from what the ones before have left", "random_composition", [(CUTS, ONE_BY_ONE)]),
    WrongAnswer("the parts of the loop are shuffled afterwards", "random_composition", [(CUTS, ONE_BY_ONE + SHUFFLED)]),
    WrongAnswer("the items are thrown into the parts one by one", "random_composition", [(CUTS, THROWN)]),

    WrongAnswer("every hidden token gets a sentinel of its own", "source_and_target", [(START, "if mask[place]:")]),
    WrongAnswer("all spans share the first sentinel", "source_and_target", [("            spans += 1\n", "")]),
    WrongAnswer("the sentinels stand in the source only", "source_and_target", [(IN_TARGET, "")]),
    WrongAnswer("the sentinels stand in the target only", "source_and_target", [(IN_SOURCE, "")]),
    WrongAnswer("the sentinels are numbered from 1", "source_and_target", [
        ("source, target, spans = [], [], 0", "source, target, spans = [], [], 1")]),
    WrongAnswer("the first token looks back at the last one, mask[-1]", "source_and_target", [
        (START, "if mask[place] and not mask[place - 1]:")]),
    WrongAnswer("a span that starts the text gets no sentinel", "source_and_target", [
        (START, "if mask[place] and place > 0 and not mask[place - 1]:")]),
    WrongAnswer("hidden tokens stay in the source as well", "source_and_target", [
        ("        else:\n            source.append(token)\n    return source, target",
         "        source.append(token)\n    return source, target")]),
    WrongAnswer("the target is closed by one more sentinel", "source_and_target", [
        ("    return source, target\n\n\nLENGTHS", "    return source, [*target, sentinel(spans)]\n\n\nLENGTHS")]),
    WrongAnswer("source and target are exchanged", "source_and_target", [
        ("    return source, target\n\n\nLENGTHS", "    return target, source\n\n\nLENGTHS")]),

    WrongAnswer("end-of-sequence is not counted", "lengths", [("(100, 22)", "(99, 21)")]),
    WrongAnswer("16.5 hidden tokens are rounded up to 17", "lengths", [("(100, 22)", "(100, 24)")]),
    WrongAnswer("the sentinels are not counted", "lengths", [("(100, 22)", "(95, 17)")]),
    WrongAnswer("the sentinels are counted in the source only", "lengths", [("(100, 22)", "(100, 17)")]),
    WrongAnswer("every hidden token is given its own sentinel", "lengths", [("(100, 22)", "(111, 33)")]),
    WrongAnswer("a closing sentinel is counted in the target", "lengths", [("(100, 22)", "(100, 23)")]),
    WrongAnswer("the settings are those of our own bases, 0.3 and 2", "lengths", [("(100, 22)", "(94, 50)")]),
    WrongAnswer("target and source are exchanged", "lengths", [("(100, 22)", "(22, 100)")]),

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

    WrongAnswer("the last span is kept only where a closing sentinel follows it", "rebuild", [(LAST, "")]),
    WrongAnswer("the last token of the target is taken for a closing sentinel", "rebuild", [
        ("for token in target[1:]:", "for token in target[1:-1]:")]),
    WrongAnswer("the sentinels stay in the text", "rebuild", [
        ("ids += spans.get(token, []) if token in marks", "ids += [token, *spans.get(token, [])] if token in marks")]),
    WrongAnswer("a new span starts with the tokens of the one before", "rebuild", [
        ("mark, span = token, []", "mark, span = token, list(span)")]),
    WrongAnswer("a span is stored under the sentinel that follows it", "rebuild", [
        ("            spans[mark] = span\n", "            spans[token] = span\n")]),
    WrongAnswer("the hidden spans are left out", "rebuild", [
        ("ids += spans.get(token, []) if token in marks else [token]", "ids += [] if token in marks else [token]")]),
    WrongAnswer("the spans are put in backwards", "rebuild", [
        ("spans.get(token, []) if", "spans.get(token, [])[::-1] if")]),
    WrongAnswer("the spans are taken in their order, not by their sentinels", "rebuild", [
        ("    ids = []\n    for token in source:",
         "    spans = dict(zip(sorted(marks, reverse=True), spans.values(), strict=False))\n"
         "    ids = []\n    for token in source:")]),

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

    WrongAnswer("the text is always cut in the middle", "prefix_split", [(CUT, "len(ids) // 2")]),
    WrongAnswer("there may be nothing to read", "prefix_split", [(CUT, "generator.randint(0, len(ids) - 1)")]),
    WrongAnswer("there may be nothing to write", "prefix_split", [(CUT, "generator.randint(1, len(ids))")]),
    WrongAnswer("the last place is never cut", "prefix_split", [(CUT, "generator.randint(1, max(len(ids) - 2, 1))")]),
    WrongAnswer("the token at the cut is lost", "prefix_split", [("ids[cut:]", "ids[cut + 1 :]")]),
    WrongAnswer("the whole text is to be written", "prefix_split", [
        ("return ids[:cut], ids[cut:]", "return ids[:cut], ids")]),
    WrongAnswer("the part to read ends with a sentinel", "prefix_split", [
        ("return ids[:cut], ids[cut:]", "return [*ids[:cut], sentinel(0)], ids[cut:]")]),
    WrongAnswer("the two parts are exchanged", "prefix_split", [
        ("return ids[:cut], ids[cut:]", "return ids[cut:], ids[:cut]")]),
    WrongAnswer("a later cut is likelier than an earlier one", "prefix_split", [
        (CUT, "max(generator.randint(1, len(ids) - 1), generator.randint(1, len(ids) - 1))")]),
]  # fmt: skip
