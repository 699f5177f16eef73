// The attacks of the page where no server is at hand: those of unfooled, written for one image, under
// the Linf norm. A network is asked through `logits` and `gradient` alone; see worker.mjs.

const HALVINGS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]; // of 10,000 queries, as published
const GAIN = 1e-6; // of the largest logit; a smaller gain is rounding

/** Numbers between 0 and 1 that depend on the seed alone. Marsaglia 2003, "Xorshift RNGs". */
export function draws(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  for (let warm = 0; warm < 16; warm++) next();
  return next;
}

/** The class that logits stand for; -1 where they are no numbers. */
export function read(logits) {
  if (!logits.every(Number.isFinite)) return -1;
  return logits.indexOf(Math.max(...logits));
}

/** Softmax; all 0 where the logits are no numbers. */
export function probabilities(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((power) => (Number.isFinite(power / sum) ? power / sum : 0));
}

/** Whether a reading is what the attacker wants. `goal` is {label, target}; target null: any other,
 * and nothing always. */
export function wanted(goal, reading) {
  if (goal.target === null) return reading !== goal.label || reading === -1;
  return goal.label !== goal.target && (reading === goal.target || reading === -1);
}

/** Not where nothing is read, and not towards the class that it belongs to. */
export function attackable(goal) {
  return goal.label !== -1 && goal.label !== goal.target;
}

/** The nearest image within eps of the clean one, every pixel in [0, 1], rounded as float32 is. */
export function within(clean, changed, eps) {
  const most = Math.fround(eps);
  return Float32Array.from(changed, (pixel, k) => {
    const delta = Math.min(most, Math.max(-most, Math.fround(pixel - clean[k])));
    return Math.min(1, Math.max(0, Math.fround(clean[k] + delta)));
  });
}

/** Whether an image is in the threat, as the judge of unfooled has it. */
export function allowed(clean, changed, eps) {
  return changed.every((pixel, k) => pixel >= 0 && pixel <= 1 && Math.abs(pixel - clean[k]) <= eps + 1e-6);
}

/** The steepest direction of the cross-entropy: up from the label, or down to the target. A gradient
 * that is no number would move nothing, which is no robustness: it is an error. */
async function steepest(network, image, goal) {
  const found = await network.gradient(image, goal.target ?? goal.label);
  if (!found.gradient.every(Number.isFinite))
    throw new Error(`the input gradient of “${network.name}” is NaN or infinite`);
  const way = goal.target === null ? 1 : -1;
  return { logits: found.logits, signs: found.gradient.map((slope) => way * Math.sign(slope)) };
}

function along(image, signs, size) {
  return image.map((pixel, k) => pixel + Math.fround(size) * signs[k]);
}

/** One step of size eps. Goodfellow et al. 2015, section 4. */
export async function fgsm(network, image, goal, eps) {
  const { signs } = await steepest(network, image, goal);
  return { image: within(image, along(image, signs, eps), eps), queries: null };
}

/** The first of many equally distant eps at which `fgsm` fools; null where none does. */
export async function firstStep(network, image, goal, most, many) {
  const { signs } = await steepest(network, image, goal);
  const sizes = Array.from({ length: many }, (_, k) => (most * (k + 1)) / many);
  const images = new Float32Array(many * image.length);
  sizes.forEach((eps, k) => images.set(within(image, along(image, signs, eps), eps), k * image.length));
  const logits = await network.logits(images);
  const row = (k) => logits.subarray(k * network.classes, (k + 1) * network.classes);
  // The eps that fool need not hang together: one step can overshoot.
  return sizes.find((_, k) => wanted(goal, read(row(k)))) ?? null;
}

/** Many small steps from a random start. Madry et al. 2018, section 2.1. */
export async function pgd(network, image, goal, eps, next, { steps, step_size, restarts }) {
  const size = step_size ?? (2.5 * eps) / steps;
  let current = image;
  for (let restart = 0; restart < restarts; restart++) {
    current = within(image, image.map((pixel) => pixel + eps * (2 * next() - 1)), eps);
    for (let step = 0; step < steps; step++) {
      const { logits, signs } = await steepest(network, current, goal);
      if (wanted(goal, read(logits))) return { image: current, queries: null };
      current = within(image, along(current, signs, size), eps);
    }
    if (restart + 1 < restarts && wanted(goal, read(await network.logits(current)))) break;
  }
  return { image: current, queries: null };
}

/** Random search by square windows, which asks for scores alone. Andriushchenko et al. 2020. */
export async function square(network, image, goal, eps, next, { queries, p_init }, tell = () => {}) {
  const { channels, size } = network;
  const loss = goal.target === null ? margin : closeness;
  let current = stripes(image, eps, next, channels, size);
  let logits = await network.logits(current);
  let best = loss(logits, goal);
  let asked = 1;
  while (asked < queries && !wanted(goal, read(logits))) {
    const shrunk = HALVINGS.filter((one) => Math.trunc(((asked - 1) / queries) * 10000) > one).length;
    const area = (p_init / 2 ** shrunk) * size * size;
    const tried = corner(image, current, eps, area, next, channels, size);
    logits = await network.logits(tried);
    asked += 1;
    await tell(asked);
    const value = loss(logits, goal);
    const fooled = wanted(goal, read(logits));
    if (fooled || value - best > GAIN * Math.max(...logits.map(Math.abs))) [current, best] = [tried, value];
  }
  return { image: current, queries: asked };
}

function margin(logits, goal) {
  return Math.max(...logits.filter((_, k) => k !== goal.label)) - logits[goal.label];
}

/** The log of the probability of the target. */
function closeness(logits, goal) {
  const most = Math.max(...logits);
  const sum = logits.reduce((found, logit) => found + Math.exp(logit - most), 0);
  return logits[goal.target] - most - Math.log(sum);
}

/** Each column of each channel eps brighter or darker. */
function stripes(image, eps, next, channels, size) {
  const signs = Array.from({ length: channels * size }, () => (next() < 0.5 ? -1 : 1));
  const column = (k) => Math.floor(k / (size * size)) * size + (k % size);
  return within(image, image.map((pixel, k) => pixel + eps * signs[column(k)]), eps);
}

/** A window eps brighter or darker than without attack; the other way round if it is so already. */
function corner(image, current, eps, area, next, channels, size) {
  const side = Math.min(Math.max(Math.round(Math.sqrt(area)), 1), size);
  const [top, left] = [0, 1].map(() => Math.floor(next() * (size - side + 1)));
  const signs = Array.from({ length: channels }, () => (next() < 0.5 ? -1 : 1));
  const painted = (way) => {
    const found = current.slice();
    for (let channel = 0; channel < channels; channel++)
      for (let row = top; row < top + side; row++)
        for (let k = (channel * size + row) * size + left, end = k + side; k < end; k++)
          found[k] = Math.min(1, Math.max(0, image[k] + way * Math.fround(eps) * signs[channel]));
    return found;
  };
  const found = painted(1);
  return found.every((pixel, k) => pixel === current[k]) ? painted(-1) : found;
}
