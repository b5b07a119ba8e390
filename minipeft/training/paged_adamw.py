"""AdamW in pages: its memory lives on the host, and only so many bytes of it on the device at a time.

m and v take twice the room of weights in float32. Here they are cut into pages, each with the same stretch of m and of
v. A page is fetched when its weights are updated and stays until the budget forces it out; then it is written back. The
equations are AdamW's and so is every bit of the result: they treat each number alone, wherever a page ends.
On a GPU the host's memory is pinned, so that copies need not wait for the processor; on a CPU the "device" is a second
pool of the same memory, which makes every page's way testable anywhere.
Dettmers et al. 2023, arXiv:2305.14314, section 3, let the driver's unified memory decide when to move pages; here it is
a rule that can be read.
"""

import torch

from minipeft.errors import UserError
from minipeft.training.adamw import AdamW, update

ALIGN = 64  # numbers: pages begin where the processor's vectors do


class PagedAdamW(AdamW):
    """AdamW whose state takes at most `budget` bytes on the device, in pages of at most `page` bytes.

    `resident`, `most_resident` and `moved` count bytes: on the device now, at most so far, and copied either way.
    """

    def __init__(self, params, lr: float = 1e-3, budget: int = 2**26, page: int = 2**20, **settings):
        super().__init__(params, lr, **settings)
        self.numbers = page // 8 // ALIGN * ALIGN  # of a weight in a page, 4 bytes each in m and in v
        if not 8 * ALIGN <= page <= budget:
            raise UserError(f"A page of {page} bytes must hold {8 * ALIGN} and fit into the budget of {budget}.")
        self.budget, self.resident, self.most_resident, self.moved = budget, 0, 0, 0
        # (weight, its first number in the page): the page's stretches of m and v
        self.pages: dict[tuple[torch.Tensor, int], list[torch.Tensor]] = {}

    def first_state(self, param: torch.Tensor) -> dict:
        zeros = torch.zeros(param.shape, dtype=torch.float32, device="cpu")
        return {"step": 0, "mean": self.place(zeros, param), "square": self.place(zeros, param)}

    def step_one(self, param: torch.Tensor, state: dict, group: dict) -> None:
        """Update one weight, page by page."""
        weights, grads = param.reshape(-1), param.grad.reshape(-1)
        for start in range(0, len(weights), self.numbers):
            part = slice(start, start + self.numbers)
            update(weights[part], grads[part], *self.fetch(param, start), state["step"], group)
        if not param.is_contiguous():  # then `weights` is a copy
            param.copy_(weights.view_as(param))

    def fetch(self, param: torch.Tensor, start: int) -> list[torch.Tensor]:
        """The page of `param` that begins at number `start`, on the device."""
        if (param, start) not in self.pages:
            on_host = self.on_host(param, start)
            size = 8 * len(on_host[0])
            while self.resident + size > self.budget:
                self.evict()
            self.pages[param, start] = [part.to(param.device, copy=True, non_blocking=True) for part in on_host]
            self.resident += size
            self.moved += size
            self.most_resident = max(self.most_resident, self.resident)
        return self.pages[param, start]

    def evict(self) -> None:
        """Send the page home that was fetched last: every step visits them in one order, so its next turn comes last.

        To evict the page that has waited longest would be the worst choice here: it is the next one needed.
        """
        (param, start), page = self.pages.popitem()
        self.write_back(param, start, page)
        self.resident -= 8 * len(page[0])

    def write_back(self, param: torch.Tensor, start: int, page: list[torch.Tensor]) -> None:
        for home, part in zip(self.on_host(param, start), page, strict=True):
            home.copy_(part, non_blocking=True)
        self.moved += 8 * len(page[0])

    def on_host(self, param: torch.Tensor, start: int) -> list[torch.Tensor]:
        """The page's stretches of m and v where they are kept, as views."""
        return [self.state[param][key].view(-1)[start : start + self.numbers] for key in ("mean", "square")]

    def state_dict(self) -> dict:
        """As AdamW's, which can go on from it, and the other way round."""
        for (param, start), page in self.pages.items():
            self.write_back(param, start, page)
        if any(param.is_cuda for param in self.state):
            torch.cuda.synchronize()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        self.pages.clear()
        self.resident = 0
        super().load_state_dict(state_dict)

    def place(self, saved: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
        """On the host."""
        copy = saved.to("cpu", copy=True).contiguous()
        return copy.pin_memory() if param.is_cuda else copy
