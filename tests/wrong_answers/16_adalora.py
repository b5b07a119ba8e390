"""Known mistakes in the exercises of lessons/16_adalora, as edits of its solution."""

from minipeft.course.wrong_answers import WrongAnswer

MEAN = "new_mean = beta1 * mean + (1 - beta1) * now"
JUMPS = "new_jumps = beta2 * jumps + (1 - beta2) * (now - new_mean).abs()"
SCORES = "lam + p.mean(dim=0) + q.mean(dim=1)"
FALL = "int(last + (first - last) * left**3)"
SHARE = "left = 1 - (done - start) / (end - start)"
STRETCH = "round(warmup * total), total - round(final * total)"
ORDER = "order = torch.cat(scores).argsort(descending=True, stable=True)"
CHOICE = "kept[order[:budget]] = True"
GRAMS = "p.T @ p, q @ q.T"
PENALTY = "(gram_p - identity).square().sum() + (gram_q - identity).square().sum()"
TRAINED = '"trained": 5 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1))'
FIRST = '"triplets_at_first": (ATTENTION + FEED_FORWARD) * 5'
LAST = '"triplets_at_last": (ATTENTION + FEED_FORWARD) * 2'
MIDDLE = "108 + 162 // 2**3"
STORED = "ATTENTION * (88 + 88) + 4 * FEED_FORWARD * (112 + 88) + 5 * (ATTENTION + FEED_FORWARD)"
BYTES = '"importance_bytes": 2 * 4 * 5 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1))'
UPDATE = "torch.testing.assert_close((new_p * new_lam) @ new_q, expected)"
VALUES, KEPT = "torch.tensor([0.5, -2.0, -1.0])", "torch.tensor([False, True, True])"
EXPECTED = "-2.0 * torch.outer(p[:, 1], q[1]) - torch.outer(p[:, 2], q[2])"
SAME_P, SAME_Q = "    assert torch.equal(new_p, p)\n", "    assert torch.equal(new_q, q)\n"

WRONG = [
    WrongAnswer("w g keeps its sign", "importance_step", [("(weight * gradient).abs()", "weight * gradient")]),
    WrongAnswer("the weight is left out of w g", "importance_step", [("(weight * gradient).abs()", "gradient.abs()")]),
    WrongAnswer("beta1 and 1 - beta1 change places", "importance_step", [
        (MEAN, "new_mean = (1 - beta1) * mean + beta1 * now")]),
    WrongAnswer("beta2 and 1 - beta2 change places", "importance_step", [
        (JUMPS, "new_jumps = (1 - beta2) * jumps + beta2 * (now - new_mean).abs()")]),
    WrongAnswer("the uncertainty is taken from the average before this step", "importance_step", [
        (JUMPS, JUMPS.replace("new_mean", "mean"))]),
    WrongAnswer("I - I_mean keeps its sign", "importance_step", [(JUMPS, JUMPS.replace(".abs()", ""))]),
    WrongAnswer("beta1 is used for both averages", "importance_step", [(JUMPS, JUMPS.replace("beta2", "beta1"))]),
    WrongAnswer("I - I_mean is squared", "importance_step", [(JUMPS, JUMPS.replace(".abs()", ".square()"))]),
    WrongAnswer("the averages are not averages but sums", "importance_step", [
        (MEAN, "new_mean = mean + now"), (JUMPS, "new_jumps = jumps + (now - new_mean).abs()")]),
    WrongAnswer("the averages that are given are changed in place", "importance_step", [
        (MEAN, "new_mean = mean.mul_(beta1).add_((1 - beta1) * now)")]),
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

    WrongAnswer("every layer keeps the same share", "keep_best", [
        (f"    {ORDER}\n", "    share = budget // len(scores)\n"
         "    return [torch.zeros(len(s)).index_fill(0, s.argsort(descending=True)[:share], 1) > 0 for s in scores]\n"
         f"    {ORDER}\n")]),
    WrongAnswer("the least important are kept", "keep_best", [
        (ORDER, ORDER.replace("descending=True", "descending=False"))]),
    WrongAnswer("all that are as good as the last one kept are kept", "keep_best", [
        (CHOICE, "kept = torch.cat(scores) >= torch.cat(scores)[order[budget - 1]]")]),
    WrongAnswer("only what is better than the first one pruned is kept", "keep_best", [
        (CHOICE, "kept = torch.cat(scores) > torch.cat(scores)[order[budget]]")]),
    WrongAnswer("as many are pruned as should be kept", "keep_best", [
        (CHOICE, "kept[order[: len(order) - budget]] = True")]),
    WrongAnswer("the mask marks what is pruned", "keep_best", [(CHOICE, "kept[order[budget:]] = True")]),
    WrongAnswer("each layer's scores are first divided by their largest", "keep_best", [
        (ORDER, ORDER.replace("torch.cat(scores)", "torch.cat([s / s.abs().max() for s in scores])"))]),
    WrongAnswer("of equal scores the later are kept", "keep_best", [
        (ORDER, "order = torch.cat(scores).argsort(stable=True).flip(0)")]),
    WrongAnswer("one is kept too many", "keep_best", [(CHOICE, "kept[order[: budget + 1]] = True")]),

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
    WrongAnswer("the final rank is counted as trained", "counts", [(TRAINED, TRAINED.replace("5 *", "2 *"))]),
    WrongAnswer("all matrices are taken to be square", "counts", [(TRAINED, TRAINED.replace("112", "88"))]),
    WrongAnswer("triplets are counted in one matrix only", "counts", [(FIRST, '"triplets_at_first": 5')]),
    WrongAnswer("the last budget is one triplet for each matrix", "counts", [(LAST, LAST.replace("* 2", "* 1"))]),
    WrongAnswer("a straight line is taken for the cube", "counts", [(MIDDLE, "108 + 162 // 2")]),
    WrongAnswer("the fall is taken to begin at step 0 and to end at step 600", "counts", [
        (MIDDLE, "108 + int(162 * 0.6**3)")]),
    WrongAnswer("the zeros in lam are taken to be left out of the file", "counts", [
        (STORED, "ATTENTION * (88 + 88 + 1) + 4 * FEED_FORWARD * (112 + 88 + 1)")]),
    WrongAnswer("lam is not counted as stored", "counts", [(STORED, STORED.rpartition(" + ")[0].rpartition(" + ")[0])]),
    WrongAnswer("every matrix is taken to store two triplets", "counts", [
        (STORED, "2 * ATTENTION * (88 + 88) + 2 * FEED_FORWARD * (112 + 88) + 5 * (ATTENTION + FEED_FORWARD)")]),
    WrongAnswer("one average is counted, not two", "counts", [(BYTES, BYTES.replace("2 * 4 * 5", "4 * 5"))]),
    WrongAnswer("numbers are counted, not bytes", "counts", [(BYTES, BYTES.replace("2 * 4 * 5", "2 * 5"))]),
    WrongAnswer("one score is taken to be kept for each triplet", "counts", [
        (BYTES, '"importance_bytes": 2 * 4 * 5 * (ATTENTION + FEED_FORWARD)')]),

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
