# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can transformed training images make a network harder to fool?
#
# You build a small network that reads handwritten digits, and it reads nearly all of them. Then
# somebody changes each pixel a little, so little that you still see the same digit, and the network
# reads something else. Training on rotated, shifted or noisy images is known to help a network with
# new images. **Does it also make the network harder to fool?**
#
# To answer, we take four steps:
#
# 1. train a network without transformations, and measure how well it reads,
# 2. attack it, and measure again,
# 3. train networks with transformations, and measure how well they read,
# 4. attack them, and measure again.
#
# Before that, we build every part by hand once: the network, its loss, its training, the attack.
# You need some Python and a first acquaintance with PyTorch. The notebook runs in a few minutes on
# two processor cores.

# %% tags=["parameters"]
DATASET = "mnist"  # or "digits", which are few and come with scikit-learn
EPOCHS = {"mnist": 1, "digits": 40}  # passes over the training images
SEEDS = 5  # networks per recipe; with fewer than 5 there are numbers, but no verdict
ATTACKED = 100  # test images that the strong attacks get

# %%
import io
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import Image, Markdown, clear_output
from torch import nn

import unfooled
from unfooled import Draws, Plan, Recipe, Study, Sweep, Threat, attack, dataset, evaluation
from unfooled import colophon, figures, layers, model, tables, targets, transform
from unfooled.errors import DataMissing
from unfooled.study import Audit

# %% [markdown]
# The next cell only sets how this notebook draws; skip it on a first reading.

# %% jupyter={"source_hidden": true}
# Okabe and Ito's colours, which stay apart for colour-blind readers.
INK, GREY, RED, BLUE, GREEN, PINK = "#000000", "#888888", "#D55E00", "#0072B2", "#009E73", "#AA6FA0"
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "image.cmap": "gray_r",
        "image.interpolation": "nearest",
        "savefig.dpi": 200,
        "savefig.bbox": "tight",
    }
)


def shown(figure, alt):
    """The figure, with words for those who cannot see it."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return Image(file.getvalue(), retina=True, alt=alt)


def gallery(rows, alt, *, above=(), beside=(), wrong=None, side=0.65):
    """Rows of small pictures, `[r, k, h, w]`; what stands above each, or above the first row."""
    r, k = rows.shape[:2]
    wrong = torch.zeros(r, k) if wrong is None else wrong
    high = side + (0.2 if len(above) > 1 else 0.05)
    figure, axes = plt.subplots(r, k, figsize=(side * k, high * r), squeeze=False)
    for i in range(r):
        for j in range(k):
            axes[i, j].imshow(rows[i, j], vmin=0, vmax=1)
            axes[i, j].set(xticks=[], yticks=[])
            axes[i, j].spines[:].set(visible=bool(wrong[i][j]), color=RED, linewidth=1.6)
            if i < len(above):
                bad = len(above) > 1 and wrong[i][j]
                weight = "bold" if bad else "normal"
                axes[i, j].set_title(
                    above[i][j], loc="center", pad=3, color=RED if bad else INK, fontweight=weight
                )
        if i < len(beside):
            axes[i, 0].set_ylabel(beside[i], rotation=0, ha="right", va="center", labelpad=6)
    return shown(figure, alt)


def labelled(axis, lines, *, gap):
    """Each line's name at its right end, pushed apart where they would overlap."""
    y = -math.inf
    for name, colour, x, height in sorted(lines, key=lambda line: line[3]):
        y = max(y + gap, height)
        axis.annotate(name, (x, y), (6, 0), textcoords="offset points", color=colour, va="center")


def percent(value):
    return f"{100 * value:.1f} %"


# %% [markdown]
# ## 1. The digits
#
# MNIST has 70,000 handwritten digits. 10,000 of them are *test images*: nothing is learned from them, and
# nothing is chosen by them; we only look at them. 5,000 are *validation images*, which tell during training
# how it goes.

# %%
try:
    data = dataset.find(DATASET)
except DataMissing:
    print("MNIST cannot be had here, so these are scikit-learn's digits, which are fewer.")
    data = dataset.find("digits")

test_images, test_labels = data.test.pixels(), data.test.labels
counts = [f"{len(split):,}" for split in (data.train, data.validation, data.test)]
print(f"{data.title}: {counts[0]} training, {counts[1]} validation and {counts[2]} test images")
print(f"Each is {data.size} x {data.size} numbers from 0 (black) to 1 (white)")

# The first test image of each class; they will accompany us.
ten = torch.stack([torch.nonzero(test_labels == digit)[0, 0] for digit in range(10)])
gallery(test_images[ten, 0][None], "One test image of each digit, 0 to 9.", above=[data.classes])

# %% [markdown]
# (We draw high values dark, as ink on paper.)
#
# ## 2. The network, layer by layer
#
# ### Why convolutions?
#
# A *convolution* slides one small table of weights, the *kernel*, over the image. At each place it
# multiplies weights and pixels and adds up. Its answer is large where the image looks like the
# kernel. Here are two kernels that we made up ourselves (blue weights are negative, red positive): one
# answers to upright edges, one to lying edges, each with its sign.

# %%
across = torch.tensor([[-1.0, 0.0, 1.0]] * 3)
kernels = torch.stack([across, across.T])[:, None]
digit = test_images[ten[7]][None]
answers = F.conv2d(digit, kernels, padding=1)[0]

figure, axes = plt.subplots(1, 5, figsize=(7, 1.6), width_ratios=[3, 1, 3, 1, 3])
axes[0].imshow(digit[0, 0])
axes[0].set_title("image", loc="center")
for place, (kernel, answer) in enumerate(zip(kernels[:, 0], answers, strict=True)):
    axes[1 + 2 * place].imshow(kernel, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[1 + 2 * place].set_title("kernel", loc="center")
    axes[2 + 2 * place].imshow(answer, cmap="RdBu_r", vmin=-3, vmax=3)
    axes[2 + 2 * place].set_title("its answer", loc="center")
for axis in axes:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
shown(figure, "A seven, two kernels of 3 by 3 weights, and what each answers to the seven.")

# %% [markdown]
# Two things make this a good idea for images. A stroke is a stroke **wherever it lies**, and the same
# kernel finds it everywhere. And a kernel has **few weights**, so there is little to learn. We leave
# the weights to training; we only say how many kernels there are and how large they are.
#
# ### The whole network

# %%
side = data.size // 4  # each of the two convolutions halves the picture


def build():
    return nn.Sequential(
        layers.Standardise(),  # pixels to mean 0 and standard deviation 1
        nn.Conv2d(1, 16, kernel_size=4, stride=2, padding=1),  # 16 kernels look for strokes
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),  # 32 look for patterns of strokes
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side * side, 100),  # 100 weigh the patterns of the whole image
        nn.ReLU(),
        nn.Linear(100, 10),  # one number for each digit: the logits
    )


colophon.layers(model.layers(build(), channels=1, size=data.size))

# %% [markdown]
# - *Stride 2* means that the kernel moves by two pixels at a time, so that the picture gets half as
#   wide and half as high.
# - *ReLU* sets negative answers to zero. Without it, all layers together would be one linear function.
# - *Sees* is how much of the image one number of that layer depends on: it grows from layer to layer.
# - The image goes in with pixels in [0, 1], and the network standardises them **inside**. So a change
#   of 0.1 means the same for every network, whatever it does with its pixels.
#
# How many weights do the kernels save? Compare the first convolution with a layer that connects every
# pixel with every number:

# %%
width = data.size // 2
print(f"16 kernels of 4 x 4 weights and a bias each: {16 * (4 * 4 + 1):,} parameters")
print(f"fully connected instead: {data.size**2 * 16 * width**2 + 16 * width**2:,} parameters")

# %% [markdown]
# ## 3. The loss: cross-entropy
#
# The ten *logits* $z_0, \dots, z_9$ become probabilities by the *softmax*, and the *cross-entropy* is
# minus the logarithm of the probability that the true class $y$ gets:
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}}, \qquad L(x, y) = -\log p_y .$$
#
# It is 0 if the network is sure of the right class, and grows without bound as it becomes sure of a
# wrong one. We work it out by hand for one image and a network that has learned nothing yet:

# %%
torch.manual_seed(0)
network = build()
image, label = test_images[ten[7]][None], test_labels[ten[7]][None]
with torch.no_grad():
    logits = network(image)

powers = [math.exp(z) for z in logits[0].tolist()]
p = powers[7] / sum(powers)
print(f"the logits:            {'  '.join(f'{z:.3f}' for z in logits[0].tolist())}")
print(f"probability of the 7:  {p:.4f}")
print(f"cross-entropy by hand: {-math.log(p):.4f}")
print(f"cross-entropy, torch:  {F.cross_entropy(logits, label).item():.4f}")
print(f"a guess among ten:     {math.log(10):.4f}")

# %% [markdown]
# ## 4. Training, with nothing hidden
#
# Training goes through the images in random order, a *batch* at a time. For each batch it asks how the
# loss changes with each weight (the *gradient*, found by `backward`), and moves every weight a little
# in the direction in which the loss falls. That is all:

# %%
optimiser = torch.optim.Adam(network.parameters(), lr=0.002)
losses = []
for batch in torch.randperm(len(data.train)).split(64):
    images, labels = data.train.pixels(batch), data.train.labels[batch]
    loss = F.cross_entropy(network(images), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())


def accuracy(network, images, labels):
    with torch.no_grad():
        return (network(images).argmax(1) == labels).float().mean().item()


read = accuracy(network, data.validation.pixels(), data.validation.labels)
figure, axis = plt.subplots(figsize=(6.5, 2.2))
axis.plot(losses, color=BLUE, linewidth=0.8)
axis.axhline(math.log(10), color=GREY, linewidth=0.8, linestyle=":")
axis.annotate("a guess", (len(losses) - 1, math.log(10)), ha="right", va="bottom", color=GREY)
axis.set(xlabel="batch", title="Cross-entropy of each batch", ylim=(0, None))
print(f"After one pass over the training images it reads {percent(read)} of the validation images.")
last = sum(losses[-20:]) / len(losses[-20:])
shown(figure, f"The loss goes from {losses[0]:.2f} to {last:.2f} over {len(losses)} batches.")

# %% [markdown]
# From here on we let the library do it. `unfooled.train` is the same loop, with a learning rate that
# first rises and then falls, and with chance that depends on a *seed* alone, so that we can repeat it.

# %%
PLANS = {
    "mnist": Plan(epochs=EPOCHS["mnist"], batch_size=128, learning_rate=0.005),
    "digits": Plan(epochs=EPOCHS["digits"], batch_size=64, learning_rate=0.003),
}
plain = Recipe("plain", "No transformations", plan=PLANS[data.name])

by_hand = network.eval()  # kept: an attacker will need it
trained = unfooled.train("strided", data, plain, seed=0)  # "strided" is the network from above
network = trained.model
print(f"validation images read correctly: {percent(trained.history[-1].validation)}")
print(f"test images read correctly:       {percent(accuracy(network, test_images, test_labels))}")

# %% [markdown]
# What have the 16 kernels of the first layer become? Nobody told them what to look for. Do you find some
# that answer to edges, like those that we had made up?

# %%
filters, maps = model.first_features(network, image)
largest = filters.abs().max().item()
figure, axes = plt.subplots(2, 16, figsize=(9, 1.25))
for place in range(16):
    axes[0, place].imshow(filters[place, 0], cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes[1, place].imshow(maps[place].relu())
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
axes[0, 0].set_ylabel("kernel", rotation=0, ha="right", va="center")
axes[1, 0].set_ylabel("answer", rotation=0, ha="right", va="center")
shown(figure, "The 16 kernels of 4 by 4 weights, and below each what it answers to a seven.")

# %% [markdown]
# ## 5. The attack: FGSM
#
# Training asks how the loss changes with the *weights*, and moves them so that it **falls**. An
# attacker asks how it changes with the *pixels*, and moves those so that it **rises**.
#
# Say that each pixel may move by at most $\varepsilon$ (this is called the *threat* $L_\infty$). If we
# move the image $x$ by $\delta$, the loss grows by about $\delta \cdot \nabla_x L$. To make that as
# large as possible, move each pixel by the whole $\varepsilon$, up where its gradient is positive and
# down where it is negative. This is the *fast gradient sign method*:
#
# $$x' = \operatorname{clip}_{[0, 1]}\bigl(x + \varepsilon \, \operatorname{sign} \nabla_x L(x, y)\bigr).$$


# %%
def fgsm(network, images, labels, eps):
    images = images.clone().requires_grad_()
    loss = F.cross_entropy(network(images), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    return (images + eps * gradient.sign()).clamp(0, 1).detach()


EPS = 0.1
some, truth = test_images[:500], test_labels[:500]
ours = fgsm(network, some, truth, EPS)
theirs = attack.find("fgsm").run(network, some, truth, Threat("Linf", EPS), draws=Draws(0))

right = network(some).argmax(1) == truth  # the library leaves alone what is misread anyway
same = (ours - theirs)[right].abs().amax((1, 2, 3)) < 1e-6
print(f"{int(same.sum())} of {len(same)} attacked images are the same as the library's")
print(f"read correctly before: {percent(accuracy(network, some, truth))}")
print(f"after our FGSM:        {percent(accuracy(network, ours, truth))}")
print(f"after the library's:   {percent(accuracy(network, theirs, truth))}")

# %% [markdown]
# (`Draws` is where chance comes from. FGSM needs none; other attacks do. The library computes the gradient
# in another way; where it is nearly 0, rounding can turn its sign.)
#
# What does it look like? One digit, the change (red up, blue down), and the sum of the two. We take the
# smallest of a few $\varepsilon$ that fools the network:

# %%
sizes = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3]
rows = torch.stack([fgsm(network, test_images[ten], test_labels[ten], eps) for eps in sizes])
with torch.no_grad():
    sure, reads = torch.stack([network(row).softmax(1) for row in rows]).max(2)
wrong = reads != test_labels[ten]

k = int(wrong.sum(0).masked_fill(wrong[0], 0).argmax())  # the digit that is fooled first
row = max(int(wrong[:, k].int().argmax()), 1)
names = [f"read as {reads[at, k]} ({percent(sure[at, k].item())})" for at in (0, row)]
figure, axes = plt.subplots(1, 3, figsize=(6.4, 2.2))
axes[0].imshow(rows[0, k, 0], vmin=0, vmax=1)
axes[0].set_title(names[0], loc="center")
axes[1].imshow(rows[row, k, 0] - rows[0, k, 0], cmap="RdBu_r", vmin=-0.3, vmax=0.3)
axes[1].set_title(f"change, at most {sizes[row]:g}", loc="center")
axes[2].imshow(rows[row, k, 0], vmin=0, vmax=1)
axes[2].set_title(names[1], loc="center")
for axis in axes:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color=GREY, linewidth=0.5)
shown(figure, f"A {k} {names[0]}, the change that FGSM makes, and the sum of both, {names[1]}.")

# %% [markdown]
# All ten, with a growing $\varepsilon$. Above each stands what the network reads, red where it is wrong.

# %%
stand = [f"at eps {eps:g} {10 - int(bad.sum())}" for eps, bad in zip(sizes, wrong, strict=True)]
gallery(
    rows[:, :, 0],
    f"Of ten digits the network reads correctly {', '.join(stand)}.",
    above=[[str(int(one)) for one in row] for row in reads],
    beside=[f"eps {eps:g}" for eps in sizes],
    wrong=wrong,
)

# %% [markdown]
# ## 6. White box and black box
#
# FGSM takes one step and knows everything: the network, its weights, its gradient. That is a **white
# box**. There are stronger attackers, and attackers who know less:
#
# - **PGD** takes 40 small steps from a random start, and after each returns to within $\varepsilon$.
#   A white box as well.
# - **Square** is a **black box**: it may only send in images and see the logits. It changes random
#   squares and keeps what helps. What counts is how many *queries* it needs.
# - **Transfer** cannot even do that. It attacks *another* network, here the one that you trained by hand,
#   and then tries whether the same images fool this one too.
# - **Noise** moves each pixel at random, and knows nothing. It is no attack but a yardstick: an attack
#   that does no better does not work.
#
# Each image counts as *robust* if the network reads it correctly and the attack does not find a change
# within $\varepsilon$ that it misreads. Never trust an attack about its success: `evaluate` asks the
# network itself about each image that came back, and measures its distance again.

# %%
few = data.test.sample(ATTACKED)
victims, truth = test_images[few], test_labels[few]
attacks = {
    "PGD": (attack.find("pgd", steps=40), "everything", RED),
    "FGSM": (attack.find("fgsm"), "everything", BLUE),
    "Square": (attack.find("square", queries=500), "the logits", GREEN),
    "Transfer": (attack.find("transfer", surrogates=[by_hand]), "another network", PINK),
    "Noise": (attack.find("noise"), "nothing", GREY),
}


def judged(name, sizes):
    """The facts of an attack, image by image, for each of these eps."""
    threats = [Threat("Linf", eps) for eps in sizes]
    draws = Draws(0, "notebook")
    return evaluation.evaluate(network, victims, truth, attacks[name][0], threats, draws=draws)


figure, axis = plt.subplots(figsize=(6.2, 3.1))
ends, words = [], []
for name, (_, _, colour) in attacks.items():
    facts = judged(name, sizes[1:])
    robust = [facts.correct.mean(), *facts.robust.mean(1)]
    axis.plot(sizes, robust, color=colour, marker="o", markersize=3)
    ends.append((name, colour, sizes[-1], robust[-1]))
    words.append(f"{name} leaves {percent(robust[2])}")
labelled(axis, ends, gap=0.075)
axis.set(xlabel=r"$\varepsilon$", ylim=(-0.03, 1.03))
axis.set_title(f"Read correctly under attack, {len(few)} test images")
axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
shown(figure, f"Accuracy against eps. At eps {sizes[2]:g}: {', '.join(words)}.")

# %% [markdown]
# And what did it cost? We count how often the network was asked until an image was fooled:


# %%
def told(name, eps):
    """A row of the table: what an attack knows, what it leaves, and what it took."""
    facts = judged(name, [eps])
    left = unfooled.share(facts.robust)  # a table of one network and many images
    interval = f"{100 * left.low:.0f} to {100 * left.high:.0f}"
    asked = sorted(facts.until[facts.fooled & facts.correct])
    median = asked[len(asked) // 2] if asked else "-"
    return f"| {name} | {attacks[name][1]} | {percent(left.value)} | {interval} | {median} |"


head = "attack | knows | read correctly, eps 0.2 | 95 % interval | asked until fooled, median"
Markdown(f"| {head} |\n|{' --- |' * 5}\n" + "\n".join(told(name, 0.2) for name in attacks))

# %% [markdown]
# The interval says how far chance in the *test images* may have moved the number. It knows nothing of
# another chance: train the network again from other initial weights, and you get another network. We
# will come to that.
#
# **An attack can only show that an image can be fooled, never that it cannot.** So every accuracy under
# attack is an upper bound, and the lowest curve is the nearest to the truth.
#
# ## 7. Any wrong class, or a chosen one
#
# So far any wrong class would do: *misclassification*. A more ambitious attacker wants a 3 to be read
# as, say, an 8: *source/target misclassification*. The formula is the same with one sign turned: make
# the loss of the *target* fall. We ask PGD to turn each of our ten digits into each other one:

# %%
places, wanted = targets.every(test_labels[ten], 10)  # each image once for each wrong class
sources, truth = test_images[ten[places]], test_labels[ten[places]]
found = attack.find("pgd", steps=40).run(
    network, sources, truth, Threat("Linf", 0.2), draws=Draws(0, "targets"), targets=wanted
)
with torch.no_grad():
    hit = network(found).argmax(1) == wanted

grid = test_images[ten, 0][:, None].repeat(1, 10, 1, 1)
reached = torch.zeros(10, 10, dtype=torch.bool)
grid[places, wanted], reached[places, wanted] = found[:, 0], hit
words = (
    f"At eps 0.2 the attack reaches {int(hit.sum())} of {len(hit)} pairs of a digit and a target"
)
print(f"{words}:")
gallery(grid, f"{words}.", above=[data.classes], beside=data.classes, wrong=reached)

# %% [markdown]
# Down stands what the digit is, across what it shall be read as; framed is where the attack reached
# its target. On the diagonal are the digits themselves. Compare with the figure before: at the same
# $\varepsilon$, how many of them could be turned into *anything* else?
#
# ## 8. Transformations
#
# Now the idea of the question. *Data augmentation* shows the network each training image a little
# different in every epoch, while the label stays. We take two kinds, one geometric and one of noise:

# %%
CHANGES = {
    "rotation, shift, scale": (
        "RandomAffine",
        {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1], "interpolation": "bilinear"},
    ),
    "noise": ("GaussianNoise", {"sigma": 0.3}),
}
eight = test_images[ten[4]].repeat(8, 1, 1, 1)
changed = []
for name, options in CHANGES.values():
    change = transform.find(name, options, channels=1, size=data.size)
    changed.append(change.apply(eight, Draws(0, "shown"))[:, 0])
words = "The same four, eight times turned, shifted and scaled, and eight times with noise."
gallery(torch.stack(changed), words, beside=list(CHANGES))

# %% [markdown]
# These are torchvision's own transformations, by their names. The label must stay true: a flipped 2 is
# no 2 any more, so flipping is left out.
#
# ## 9. The four steps
#
# One network is an anecdote. So each *recipe* is trained several times with different seeds, and two more
# recipes stand beside those that we ask about. They are *controls*, whose outcome is known:
#
# - **Adversarial training** attacks each batch before it learns from it:
#   $\min_w \mathbb{E} \max_{\|\delta\|_\infty \le \varepsilon} L(x + \delta, y)$. It is known to help. If it
#   does not help here, then something is broken, and the library withholds its verdict.
# - **Label smoothing** asks for a probability of about 0.9 for the true class instead of 1. It has been
#   taken for a defence, and falls to stronger attacks: it bends the gradients, so that an attack that
#   follows them loses its way. It is here as a *sham*, to see whether our attacks are taken in.
#
# So we attack in several ways, and take the **worst case image by image**: an image counts only if it
# stands against all of them.

# %%
rotated, noisy = ((change,) for change in CHANGES.values())
plan = plain.plan
attacked = ("adversarial", {"eps": 0.3, "steps": 3, "step_size": 0.5})
smoothed = ("label_smoothing", {"smoothing": 0.1})
recipes = (
    plain,
    Recipe("transforms", "Rotation, shift, scale", rotated, plan=plan),
    Recipe("noise", "Gaussian noise", noisy, plan=plan),
    Recipe("adversarial", "Adversarial training", (), attacked, plan, control="positive"),
    Recipe("smoothing", "Label smoothing", (), smoothed, plan, control="sham"),
)
study = Study(
    name="notebook",
    question="Do transformations of the training data make a CNN harder to fool?",
    dataset=data.name,
    model="strided",
    seeds=SEEDS,
    answer_eps=EPS,
    margin=0.02,  # a difference of less than 2 points would change nobody's mind
    recipes=recipes,
    sweeps=(
        Sweep("fgsm", {}, "Linf", tuple(sizes), images=10 * ATTACKED),
        Sweep("pgd", {"steps": 40}, "Linf", tuple(sizes), images=ATTACKED),
        Sweep("apgd", {"steps": 20, "over_targets": 9}, "Linf", (EPS, 0.3), images=ATTACKED),
        Sweep("square", {"queries": 300}, "Linf", (EPS, 0.3), images=ATTACKED),
    ),
    audit=Audit(images=ATTACKED // 2),
)


def progress(step):
    clear_output(wait=True)
    print(f"{step.finished} of {step.total} jobs done")


report = unfooled.conduct(study, on_step=progress)

# %%
report

# %% [markdown]
# Here is the same over all $\varepsilon$: on the left what you would believe after FGSM alone, on the
# right what is left after all attacks. Each band is a 95 % interval, which now covers both chances: that
# of the test images *and* that of the training.

# %%
figures.curves(report)

# %% [markdown]
# And the changes from the baseline, on the same images and the same seeds. A change whose interval lies
# to the right of 0 helps, to the left of 0 hurts.

# %%
figures.effects(report)

# %% [markdown]
# Without attack, the recipes can be compared as well: on the validation images as they are, on the
# validation images *with* the recipe's transformations, and on the test images.

# %%
tables.learned(report)

# %% [markdown]
# Would FGSM alone have told us the truth?

# %%
for recipe in report.results.recipes[1:]:
    weak = report.results.compared(recipe.name, "FGSM", EPS).verdict
    strong = report.results.compared(recipe.name, "worst case", EPS).verdict
    surprise = "" if weak == strong else "   <- not the same"
    print(f"{recipe.title}: FGSM alone says {weak!r}, the worst case {strong!r}{surprise}")

# %% [markdown]
# (You need at least five seeds to get a verdict other than *cannot tell*.)
#
# And can the numbers be believed? An attack that fails looks just like a network that stands. So the
# library also attacks each network in ways that fail for *other* reasons, and looks for signs that a
# number is too high. What fails here withholds its verdict:

# %%
tables.audit(report)

# %% [markdown]
# ## 10. The answer
#
# This sentence is put together from the numbers of this very run; nobody wrote it beforehand.

# %%
Markdown(f"> **{report.answer.short}** {report.answer.sentence}")

# %% [markdown]
# Read it again with the table above at hand. Which of its numbers could chance have made? For which
# $\varepsilon$ would the answer be another one?
#
# What it does **not** show:
#
# - It is about *this* network, *these* images, *these* strengths of the transformations, and changes of
#   at most $\varepsilon$ a pixel. Against an attacker who turns the image, another recipe may be the
#   right one.
# - Every number under attack is an upper bound. The next attack may be stronger.
# - The training is short, so that the notebook is quick. The full study (`unfooled study mnist`) trains
#   longer and attacks harder; `docs/findings.md` has what it found.
#
# ## Exercises
#
# 1. **Count the pixels.** Change `fgsm` so that it moves only pixels that are not black. How much of its
#    power does it lose at $\varepsilon = 0.1$? What does that tell you about the background of MNIST?
# 2. **A stronger dose.** Train with noise of standard deviation 0.1, 0.3 and 0.5. Where does the gain at
#    $\varepsilon = 0.1$ end, and what does it cost without attack?
# 3. **Fool the smoothed network.** Train with `defence=("label_smoothing", {"smoothing": 0.1})`, and
#    attack with FGSM, PGD and `apgd` with `loss="margin"`. Which of them is misled, and why? (Look at
#    the size of the gradient.)
# 4. **Another attacker.** Put `Sweep("spatial", {}, "spatial", (0.0, 0.5, 1.0), images=50)` in place of the
#    other attacks, with `answer_eps=0.5`, conduct the study again, and look at `report`: this attack turns
#    and shifts the image. Which recipe helps now?
# 5. **An attack of your own.** Write FGSM with ten small steps instead of one, from a random start. At
#    which number of steps does it become as strong as the library's `pgd`?
#
# ## Further reading
#
# - Goodfellow, Shlens and Szegedy 2015, [Explaining and harnessing adversarial
#   examples](https://arxiv.org/abs/1412.6572): FGSM, and why it works.
# - Madry and others 2018, [Towards deep learning models resistant to adversarial
#   attacks](https://arxiv.org/abs/1706.06083): PGD and adversarial training.
# - Papernot and others 2016, [Transferability in machine learning](https://arxiv.org/abs/1605.07277):
#   why images that fool one network often fool another.
# - Andriushchenko and others 2020, [Square Attack](https://arxiv.org/abs/1912.00049): a black box that
#   needs few questions.
# - Athalye, Carlini and Wagner 2018, [Obfuscated gradients give a false sense of
#   security](https://arxiv.org/abs/1802.00420): why weak attacks flatter.
# - Fu and others 2020, [Label smoothing and adversarial robustness](https://arxiv.org/abs/2009.08233): our
#   sham control, taken apart.
# - Carlini and others 2019, [On evaluating adversarial robustness](https://arxiv.org/abs/1902.06705): what
#   a good evaluation looks like.
