"""Small programs, run by both libraries with one seed: what they print must be the same up to rounding."""

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402


def packed_classifier(t):
    nn, rnn = t.nn, t.nn.utils.rnn
    embed, gru, out = (
        nn.Embedding(20, 6, padding_idx=0),
        nn.GRU(6, 8, batch_first=True, bidirectional=True),
        nn.Linear(16, 3),
    )
    sequences = [t.randint(1, 20, (int(n),)) for n in t.randint(2, 9, (10,))]
    x, lengths = rnn.pad_sequence(sequences, batch_first=True), t.tensor([len(s) for s in sequences])
    y = t.randint(0, 3, (10,))
    parameters = [*embed.parameters(), *gru.parameters(), *out.parameters()]
    opt = t.optim.Adam(parameters, lr=0.02)
    for _ in range(6):
        packed = rnn.pack_padded_sequence(embed(x), lengths, batch_first=True, enforce_sorted=False)
        _, h = gru(packed)
        loss = nn.functional.cross_entropy(out(t.cat([h[-2], h[-1]], 1)), y)
        opt.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 0.5)
        opt.step()
        yield f"{loss.item()} {norm}"


def gan_with_gradient_penalty(t):
    nn = t.nn

    def start(m):
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0.0, 0.2)
            nn.init.zeros_(m.bias)

    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)).apply(start)
    maker = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(True), nn.Linear(16, 2)).apply(start)
    opt_c, opt_m = t.optim.RMSprop(critic.parameters(), 1e-2), t.optim.Adam(maker.parameters(), 1e-2, betas=(0.5, 0.9))
    for _ in range(5):
        real = t.randn(16, 2) * 0.1 + t.tensor([1.0, -1.0])
        fake = maker(t.randn(16, 3)).detach()
        mix = t.rand(16, 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        d = critic(between)
        (g,) = t.autograd.grad(d, between, t.ones_like(d), create_graph=True)
        loss_c = critic(fake).mean() - critic(real).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        opt_c.zero_grad()
        loss_c.backward()
        opt_c.step()
        loss_m = -critic(maker(t.randn(16, 3))).mean()
        opt_m.zero_grad()
        loss_m.backward()
        opt_m.step()
        yield f"{loss_c:.5f} {loss_m:.5f}"


def actor_critic(t):
    from importlib import import_module

    distributions = import_module(f"{t.__name__}.distributions")
    nn = t.nn
    body, head, value = nn.Linear(4, 16), nn.Linear(16, 2), nn.Linear(16, 1)
    opt = t.optim.AdamW([*body.parameters(), *head.parameters(), *value.parameters()], lr=1e-2, amsgrad=True)
    for _ in range(4):
        state, logs, values, rewards = t.zeros(4), [], [], []
        for step in range(8):
            h = t.relu(body(state))
            policy = distributions.Categorical(logits=head(h))
            action = policy.sample()
            logs.append(policy.log_prob(action))
            values.append(value(h).squeeze())
            state = state + 0.1 * t.tensor([1.0, -1.0, 0.5, 0.0]) * (2 * action.item() - 1) + 0.01 * t.randn(4)
            rewards.append(state[0].item() - 0.01 * step)
        total, returns = 0.0, []
        for r in reversed(rewards):
            total = r + 0.9 * total
            returns.insert(0, total)
        target = t.tensor(returns)
        target = (target - target.mean()) / (target.std() + 1e-6)
        found = t.stack(values)
        loss = -(t.stack(logs) * (target - found.detach())).sum() + nn.functional.smooth_l1_loss(found, target)
        opt.zero_grad()
        loss.backward()
        opt.step()
        yield f"{loss}"


def graph_convolution(t):
    nn = t.nn
    edges = t.randint(0, 6, (2, 15))
    weight = nn.Parameter(nn.init.xavier_uniform_(t.empty(4, 3)))
    x, y, known = t.randn(6, 4), t.arange(6) % 3, t.tensor([True, True, False, True, False, True])
    opt = t.optim.SGD([weight], lr=0.5, momentum=0.9, weight_decay=5e-4)
    schedule = t.optim.lr_scheduler.CosineAnnealingLR(opt, 5)
    for _ in range(5):
        degree = t.zeros(6).scatter_add_(0, edges[1], t.ones(15)).clamp(min=1)
        scale = (degree[edges[0]] * degree[edges[1]]).rsqrt().unsqueeze(-1)
        h = x @ weight
        out = t.zeros_like(h).index_add_(0, edges[1], h[edges[0]] * scale).log_softmax(1)
        loss = nn.functional.nll_loss(out[known], y[known])
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        yield f"{loss.item()} {schedule.get_last_lr()[0]} {(out.argmax(1)[~known] == y[~known]).sum()}"


@pytest.mark.parametrize("program", [packed_classifier, gan_with_gradient_penalty, actor_critic, graph_convolution])
def test_program(program):
    printed = []
    for lib in (rt, torch):
        lib.manual_seed(1)
        printed.append([[float(word) for word in line.split()] for line in program(lib)])
    for ours, theirs in zip(*printed, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
