"""Known mistakes in the exercises of lessons/16_adalora, as edits of its solution."""

from minipeft.course.wrong_answers import WrongAnswer

NOW = "parts = (weight * gradients).abs()"
MEAN = "new_mean = beta1 * mean + (1 - beta1) * parts.mean(0)"
JUMPS = "new_jumps = beta2 * jumps + (1 - beta2) * (parts - new_mean).abs().mean(0)"
SCORES = "lam + p.mean(dim=0) + q.mean(dim=1)"
FALL = "int(last + (first - last) * left**3)"
SHARE = "left = 1 - (done - start) / (end - start)"
STRETCH = "round(warmup * total), total - round(final * total)"
ORDER = "order = torch.cat(scores).argsort(descending=True, stable=True)"
CHOICE = "chosen = {*firsts.values(), *rest[: budget - len(firsts)]}"
GRAMS = "p.T @ p, q @ q.T"
PENALTY = "(gram_p - identity).square().sum() + (gram_q - identity).square().sum()"
TRAINED = '"trained": 7 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1))'
FIRST = '"triplets_at_first": (ATTENTION + FEED_FORWARD) * 7'
LAST = '"triplets_at_last": (ATTENTION + FEED_FORWARD) * 4'
MIDDLE = "216 + 162 // 3**3"
STORED = "3 * ATTENTION * (88 + 88) + 6 * FEED_FORWARD * (112 + 88) + 7 * (ATTENTION + FEED_FORWARD)"
BYTES = '"importance_bytes": 2 * 4 * 7 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1))'
UPDATE = "torch.testing.assert_close((new_p * new_lam) @ new_q, expected)"
VALUES, KEPT = "torch.tensor([0.5, -2.0, -1.0])", "torch.tensor([False, True, True])"
EXPECTED = "-2.0 * torch.outer(p[:, 1], q[1]) - torch.outer(p[:, 2], q[2])"
SAME_P, SAME_Q = "    assert torch.equal(new_p, p)\n", "    assert torch.equal(new_q, q)\n"

WRONG = [
    WrongAnswer("w g keeps its sign", "importance_step", [(NOW, "parts = weight * gradients")]),
    WrongAnswer("the weight is left out of w g", "importance_step", [(NOW, "parts = gradients.abs()")]),
    WrongAnswer("the parts' gradients are averaged first", "importance_step", [
        (NOW, "parts = (weight * gradients.mean(0, keepdim=True)).abs()")]),
    WrongAnswer("the parts are summed, not averaged", "importance_step", [
        (MEAN, MEAN.replace("mean(0)", "sum(0)")), (JUMPS, JUMPS.replace("mean(0)", "sum(0)"))]),
    WrongAnswer("the uncertainty is how far the parts' average is from I_mean", "importance_step", [
        (JUMPS, "new_jumps = beta2 * jumps + (1 - beta2) * (parts.mean(0) - new_mean).abs()")]),
    WrongAnswer("only the last part counts", "importance_step", [
        (NOW, "parts = (weight * gradients[-1:]).abs()")]),
    WrongAnswer("every part is a step of its own", "importance_step", [
        (NOW + "  # (parts, *shape)\n", "new_mean, new_jumps = mean, jumps\n    for gradient in gradients:\n"
         "        now = (weight * gradient).abs()\n        new_mean = beta1 * new_mean + (1 - beta1) * now\n"
         "        new_jumps = beta2 * new_jumps + (1 - beta2) * (now - new_mean).abs()\n"), (f"    {MEAN}\n", ""),
        (f"    {JUMPS}\n", "")]),
    WrongAnswer("beta1 and 1 - beta1 change places", "importance_step", [
        (MEAN, "new_mean = (1 - beta1) * mean + beta1 * parts.mean(0)")]),
    WrongAnswer("the uncertainty is taken from the average before this step", "importance_step", [
        (JUMPS, JUMPS.replace("new_mean", "mean"))]),
    WrongAnswer("I - I_mean keeps its sign", "importance_step", [(JUMPS, JUMPS.replace(".abs()", ""))]),
    WrongAnswer("beta1 is used for both averages", "importance_step", [(JUMPS, JUMPS.replace("beta2", "beta1"))]),
    WrongAnswer("I - I_mean is squared", "importance_step", [(JUMPS, JUMPS.replace(".abs()", ".square()"))]),
    WrongAnswer("the averages that are given are changed in place", "importance_step", [
        (MEAN, "new_mean = mean.mul_(beta1).add_((1 - beta1) * parts.mean(0))")]),
    WrongAnswer("the two averages come back in the other order", "importance_step", [
        ("return new_mean, new_jumps", "return new_jumps, new_mean")]),

    WrongAnswer("the vectors' scores are summed, not averaged", "triplet_scores", [
        (SCORES, "lam + p.sum(dim=0) + q.sum(dim=1)")]),
    WrongAnswer("P's score is left out", "triplet_scores", [(SCORES, "lam + q.mean(dim=1)")]),
    WrongAnswer("Q's score is left out", "triplet_scores", [(SCORES, "lam + p.mean(dim=0)")]),
    WrongAnswer("lam's own score is left out", "triplet_scores", [(SCORES, "p.mean(dim=0) + q.mean(dim=1)")]),
    WrongAnswer("a third of the three parts is taken", "triplet_scores", [(SCORES, f"({SCORES}) / 3")]),
    WrongAnswer("the largest score of each vector is taken", "triplet_scores", [
        (SCORES, "lam + p.amax(dim=0) + q.amax(dim=1)")]),
    WrongAnswer("all numbers of a triplet have one mean together", "triplet_scores", [
        (SCORES, "torch.cat([lam[None], p, q.T]).mean(dim=0)")]),
    WrongAnswer("the three parts are multiplied", "triplet_scores", [
        (SCORES, "lam * p.mean(dim=0) * q.mean(dim=1)")]),

    WrongAnswer("the budget falls along a straight line", "budget", [(FALL, FALL.replace("**3", ""))]),
    WrongAnswer("the power is 2", "budget", [(FALL, FALL.replace("**3", "**2"))]),
    WrongAnswer("the final phase is not taken off the end", "budget", [
        (STRETCH, "round(warmup * total), total")]),
    WrongAnswer("t_f is rounded, not the length of the final phase", "budget", [
        (STRETCH, "round(warmup * total), round((1 - final) * total)")]),
    WrongAnswer("the fall begins at step 0", "budget", [(STRETCH, "0, total - round(final * total)")]),
    WrongAnswer("the fall is as long as all the steps", "budget", [(SHARE, "left = 1 - (done - start) / total")]),
    WrongAnswer("the budget is rounded to the nearest", "budget", [(FALL, FALL.replace("int(", "round("))]),
    WrongAnswer("the share done is cubed, not the share left", "budget", [
        (FALL, "int(first - (first - last) * (1 - left) ** 3)")]),
    WrongAnswer("the budget falls towards 0, not towards b_T", "budget", [(FALL, "int(first * left**3)")]),
    WrongAnswer("the budget rises from b_T to b_0", "budget", [
        (SHARE, "left = (done - start) / (end - start)")]),

    WrongAnswer("a layer may lose all of its triplets", "keep_best", [(CHOICE, "chosen = set(order[:budget])")]),
    WrongAnswer("the places of the layers' best come on top of the budget", "keep_best", [
        (CHOICE, "chosen = {*firsts.values(), *rest[:budget]}")]),
    WrongAnswer("the best of a layer take a place among the others, too", "keep_best", [
        (CHOICE, "chosen = {*firsts.values(), *order[: budget - len(firsts)]}")]),
    WrongAnswer("every layer keeps its first triplet, not its best", "keep_best", [
        ("    for place in order:\n", "    for place in range(len(order)):\n")]),
    WrongAnswer("the least important are kept", "keep_best", [
        (ORDER, ORDER.replace("descending=True", "descending=False"))]),
    WrongAnswer("the least of the others fill the places left", "keep_best", [
        ("rest[: budget - len(firsts)]", "rest[::-1][: budget - len(firsts)]")]),
    WrongAnswer("the mask marks what is pruned", "keep_best", [
        ("kept = [place in chosen", "kept = [place not in chosen")]),
    WrongAnswer("each layer's scores are first divided by their largest", "keep_best", [
        (ORDER, ORDER.replace("torch.cat(scores)", "torch.cat([s / s.abs().max() for s in scores])"))]),
    WrongAnswer("of equal scores the later are kept", "keep_best", [
        (ORDER, "order = torch.cat(scores).argsort(stable=True).flip(0)")]),
    WrongAnswer("one is kept too many", "keep_best", [("budget - len(firsts)]", "budget - len(firsts) + 1]")]),
    WrongAnswer("sizes are compared, not scores", "keep_best", [
        (ORDER, ORDER.replace("torch.cat(scores)", "torch.cat(scores).abs()"))]),

    WrongAnswer("P P^T and Q^T Q are taken, (out, out) and (in, in)", "orthogonality_penalty", [
        (GRAMS, "p @ p.T, q.T @ q"), (PENALTY, PENALTY.replace("identity", "torch.eye(len(gram_p))", 1).replace(
            "identity", "torch.eye(len(gram_q))"))]),
    WrongAnswer("P P^T is taken, (out, out)", "orthogonality_penalty", [
        (GRAMS, "p @ p.T, q @ q.T"), (PENALTY, PENALTY.replace("identity", "torch.eye(len(gram_p))", 1).replace(
            "identity", "torch.eye(len(gram_q))"))]),
    WrongAnswer("the norms are not squared", "orthogonality_penalty", [
        (PENALTY, "(gram_p - identity).norm() + (gram_q - identity).norm()")]),
    WrongAnswer("the squares are averaged, not summed", "orthogonality_penalty", [
        (PENALTY, PENALTY.replace("sum()", "mean()"))]),
    WrongAnswer("I is not taken away", "orthogonality_penalty", [
        (PENALTY, "gram_p.square().sum() + gram_q.square().sum()")]),
    WrongAnswer("Q is left out", "orthogonality_penalty", [(PENALTY, "(gram_p - identity).square().sum()")]),
    WrongAnswer("only the lengths of the vectors count, not their angles", "orthogonality_penalty", [
        (PENALTY, "(gram_p - identity).diag().square().sum() + (gram_q - identity).diag().square().sum()")]),
    WrongAnswer("only the angles of the vectors count, not their lengths", "orthogonality_penalty", [
        (PENALTY, "(gram_p * (1 - identity)).square().sum() + (gram_q * (1 - identity)).square().sum()")]),
    WrongAnswer("absolute values are summed, not squares", "orthogonality_penalty", [
        (PENALTY, PENALTY.replace("square", "abs"))]),

    WrongAnswer("lam is not counted as trained", "counts", [(TRAINED, TRAINED.replace(" + 1", ""))]),
    WrongAnswer("the final rank is counted as trained", "counts", [(TRAINED, TRAINED.replace("7 *", "4 *"))]),
    WrongAnswer("all matrices are taken to be square", "counts", [(TRAINED, TRAINED.replace("112", "88"))]),
    WrongAnswer("triplets are counted in one matrix only", "counts", [(FIRST, '"triplets_at_first": 7')]),
    WrongAnswer("the last budget is one triplet for each matrix", "counts", [(LAST, LAST.replace("* 4", "* 1"))]),
    WrongAnswer("a straight line is taken for the cube", "counts", [(MIDDLE, "216 + 162 // 3")]),
    WrongAnswer("the fall is taken to begin at step 0 and to end at step 600", "counts", [
        (MIDDLE, "216 + int(162 * 0.5**3)")]),
    WrongAnswer("the zeros in lam are taken to be left out of the file", "counts", [
        (STORED, "3 * ATTENTION * (88 + 88 + 1) + 6 * FEED_FORWARD * (112 + 88 + 1)")]),
    WrongAnswer("lam is not counted as stored", "counts", [(STORED, STORED.rpartition(" + ")[0].rpartition(" + ")[0])]),
    WrongAnswer("every matrix is taken to store four triplets", "counts", [
        (STORED, "4 * ATTENTION * (88 + 88) + 4 * FEED_FORWARD * (112 + 88) + 7 * (ATTENTION + FEED_FORWARD)")]),
    WrongAnswer("one average is counted, not two", "counts", [(BYTES, BYTES.replace("2 * 4 * 7", "4 * 7"))]),
    WrongAnswer("numbers are counted, not bytes", "counts", [(BYTES, BYTES.replace("2 * 4 * 7", "2 * 7"))]),
    WrongAnswer("one score is taken to be kept for each triplet", "counts", [
        (BYTES, '"importance_bytes": 2 * 4 * 7 * (ATTENTION + FEED_FORWARD)')]),

    WrongAnswer("only the update is looked at", "check_prune", [(SAME_P, ""), (SAME_Q, "")]),
    WrongAnswer("only the vectors are looked at", "check_prune", [(f"    {UPDATE}\n", "")]),
    WrongAnswer("Q is not looked at", "check_prune", [(SAME_Q, "")]),
    WrongAnswer("P is not looked at", "check_prune", [(SAME_P, "")]),
    WrongAnswer("the mask that is tried keeps everything", "check_prune", [
        (KEPT, "torch.tensor([True, True, True])"), (EXPECTED, "(p * lam) @ q")]),
    WrongAnswer("the mask that is tried keeps nothing", "check_prune", [
        (KEPT, "torch.tensor([False, False, False])"), (EXPECTED, "torch.zeros(5, 4)")]),
    WrongAnswer("the mask that is tried keeps the first triplets", "check_prune", [
        (KEPT, "torch.tensor([True, True, False])"),
        (EXPECTED, "0.5 * torch.outer(p[:, 0], q[0]) - 2.0 * torch.outer(p[:, 1], q[1])")]),
    WrongAnswer("the values that are tried are all above 0", "check_prune", [
        (VALUES, "torch.tensor([0.5, 2.0, 1.0])"),
        (EXPECTED, "2.0 * torch.outer(p[:, 1], q[1]) + torch.outer(p[:, 2], q[2])")]),
    WrongAnswer("what is given to prune is not cloned, so it changes under the test", "check_prune", [
        ("prune(p.clone(), lam.clone(), q.clone(), kept)", "prune(p, lam, q, kept)")]),
    WrongAnswer("the finding is returned, not raised", "check_prune", [
        (f"    {UPDATE}\n{SAME_P}{SAME_Q}",
         "    return torch.allclose((new_p * new_lam) @ new_q, expected) and torch.equal(new_p, p)\n")]),
]  # fmt: skip
